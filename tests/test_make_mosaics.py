"""The script that makes pictures with several labels."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.datasets import read
from vit.data.found import Found, ReadOptions
from vit.data.images import TensorImages


def plain(part: int) -> TensorImages:
    """Pictures of one color each: red is ten times the class, green the number, blue the part."""
    targets = torch.arange(90) % 10
    pixels = torch.stack([10 * targets, torch.arange(90), torch.full((90,), part)], 1).byte()
    pixels = pixels[:, :, None, None].expand(90, 3, 32, 32)
    return TensorImages(pixels, targets, [str(number) for number in range(90)])


def test_labels_are_those_of_the_tiles(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaics = script("make_mosaics")
    found: Found[Any] = Found({"train": plain(1), "test": plain(2)}, [f"kind {index}" for index in range(10)])
    monkeypatch.setattr(mosaics, "read", lambda *arguments: found)
    for name in ("one", "two"):
        assert mosaics.main([str(tmp_path / name), "--train", "40", "--test", "9"]) == 0
    with (tmp_path / "one" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["part"] for row in rows] == ["train"] * 40 + ["test"] * 9
    sizes = set()
    for row in rows:
        pixels = np.asarray(Image.open(tmp_path / "one" / row["path"]))
        assert pixels.shape == (64, 64, 3)
        assert (tmp_path / "two" / row["path"]).read_bytes() == (tmp_path / "one" / row["path"]).read_bytes()
        corners = pixels[[0, 0, 63, 63], [0, 63, 0, 63]]
        assert row["label"].split("|") == [f"kind {red // 10}" for red in sorted(set(corners[:, 0].tolist()))]
        assert set(corners[:, 2].tolist()) == {1 if row["part"] == "train" else 2}
        sizes.add(row["label"].count("|") + 1)
    assert sizes == {1, 2, 3, 4}
    data = read("folder", tmp_path / "one", ReadOptions(size=(64, 64), label_separator="|"))
    assert {part: len(examples) for part, examples in data.parts.items()} == {"train": 40, "test": 9}
    assert data.labels == found.labels
