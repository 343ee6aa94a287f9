"""`scripts/make_messy.py`: every file of the folder that it makes is accounted for."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from vit.data.datasets import read
from vit.data.found import ReadOptions


def test_every_file_is_accounted_for(tmp_path: Path, script: Callable[[str], ModuleType]) -> None:
    random = np.random.default_rng(0)
    for label in ("a", "b", "c"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for index in range(11):
            picture = Image.fromarray(random.integers(0, 256, (23, 23, 3), dtype=np.uint8))
            picture.save(tmp_path / "in" / label / f"{index}.jpg")
    out = tmp_path / "messy"
    assert script("make_messy").main([str(tmp_path / "in"), str(out), "--most", "9", "--least", "7"]) == 0
    found = read("folder", out, ReadOptions(size=(8, 8)))
    pictures = found.parts["all"]
    assert pictures.targets.bincount().tolist() == [12, 11, 10]  # with the copy, the turned and the long one
    assert sorted(reason.partition(":")[0] for _, reason in found.skipped) == sorted(
        3 * ["truncated", "truncated", "not_an_image"]
    )
    assert len(set(pictures.digests)) == len(pictures) - 3
    assert sum("/more/" in name for name in pictures.names) == 6
    assert len(found.notes) == 2
