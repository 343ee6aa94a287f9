"""Commands and functions on a device without float64, as Apple's GPU is (`pretended_accelerator.py`)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vit.cli import main

HELPER = Path(__file__).with_name("pretended_accelerator.py")
# Of scores and vectors; float32 sums in another order.
TOLERANCE = 1e-5

FUNCTIONS = """
import torch
from pretended_accelerator import NAME, install

kept = install()
from vit.text.generation.sampling import Sampling
from vit.viewer import View, overlay, page, text_overlay
from PIL import Image

here = torch.rand(3, 5)
there = here.to(NAME)
for refused in (lambda: there.double(), lambda: torch.zeros(2, device=NAME, dtype=torch.float64)):
    try:
        refused()
    except TypeError as error:
        assert "has no torch.float64" in str(error)
    else:
        raise AssertionError("float64 is not refused")
try:
    there + here
except RuntimeError as error:
    assert "same device" in str(error)
else:
    raise AssertionError("tensors of two devices are not refused")

picture = Image.new("RGB", (10, 6))
assert overlay(picture, there).tobytes() == overlay(picture, here).tobytes()
words = ["a", "b", "c", "d", "e"]
assert text_overlay(words, there[0]).tobytes() == text_overlay(words, here[0]).tobytes()

def view(place):
    weights = torch.full((2, 16, 16), 1 / 16)
    weights[0, 3] = torch.arange(16) / 120
    of = {"read": weights[0, 3], "norms": torch.rand(15, generator=torch.Generator().manual_seed(0))}
    of |= {"outliers": of["norms"] > 0.5, "lens": of["norms"][:, None]}
    return View(
        name="x",
        weights=[weights.to(place)] * 2,
        grid=(3, 5),
        prefix=1,
        prefix_names=["class"],
        classes=[("a", 0.5)],
        lens_best=[("a", 0.5)] * 15,
        maps={"m": of["norms"][None].to(place)},
        **{name: value.to(place) for name, value in of.items()},
    )

assert page(view(NAME)) == page(view("cpu"))
draws = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
sampling = Sampling(temperature=0.7, top_k=4, top_p=0.9)
chosen = sampling.choose(there, draws)
assert chosen.device.type == NAME and torch.equal(chosen.cpu(), sampling.choose(here, draws))
print("done")
"""


def on_device(code: list[str], folder: Path) -> str:
    """The standard output of python with these arguments in a folder."""
    done = subprocess.run(
        [sys.executable, *code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HELPER.parent), "OMP_NUM_THREADS": "1", "VIT_DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_functions_take_tensors_of_the_device(tmp_path: Path) -> None:
    assert on_device(["-c", FUNCTIONS], tmp_path) == "done\n"


def both(commands: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Run commands in two folders beside the inputs, one on the device and one on the CPU."""
    places = folder / "there", folder / "here"
    for place in places:
        place.mkdir()
    split = [command.split() for command in commands]
    on_device([str(HELPER), json.dumps(split)], places[0])
    monkeypatch.chdir(places[1])
    for command in split:
        assert main(command) == 0
    return places


def table(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def assert_same_rows(file: str, places: tuple[Path, Path]) -> None:
    """The same rows, numbers to `TOLERANCE`."""
    there, here = (table(place / file) for place in places)
    assert len(there) == len(here) > 0
    for one, other in zip(there, here, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"topk"}:
            if name.endswith("_mass") or name in ("vector", "score", "morf", "lerf"):
                assert numbers(one[name]) == pytest.approx(numbers(other[name]), abs=TOLERANCE), name
            elif name not in ("low", "high", "difference", "seconds", "images_per_second", "data_wait"):
                assert one[name] == other[name], name


def numbers(text: str) -> Any:
    return json.loads(text) if text else None


def test_an_image_model(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIT_DEBUG", "1")
    size = "--model.width 24 --model.depth 2 --trainer.max_epochs 1 --trainer.precision 32-true"
    commands = [
        f"train --config digits --name d {size} --trainer.overlays 2 --optim.ema 0.9",
        "evaluate runs/d --flip",
        f"predict runs/d {pictures} --output rows.csv",
        f"embed runs/d {pictures} --output vectors.csv",
        f"attend runs/d {pictures} --output maps --pages 2 --score",
        f"attend runs/d {pictures} --output relevance --method relevance --target 3 --pages 1",
        f"attend runs/d {pictures} --output occlusion --method occlusion --pages 0",
    ]
    places = both(commands, tmp_path, monkeypatch)
    for file in (
        "rows.csv",
        "vectors.csv",
        "maps/attend.csv",
        "maps/faithfulness.csv",
        "occlusion/attend.csv",
    ):
        assert_same_rows(file, places)
    for place in places:
        assert len(list((place / "maps").rglob("*.png.html"))) == 2
        assert list((place / "runs" / "d").rglob("epoch_*.png"))


def test_a_text_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = ("a fine film", "what a joy"), ("dull", "i hated it")
    sides = [("pos", text) for text in good] + [("neg", text) for text in bad]
    rows = [f"{label}\t{text} , take {take}" for take in range(7) for label, text in sides]
    (tmp_path / "reviews.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    (tmp_path / "texts.txt").write_text("a fine film\nthis was dull and a mess\n")
    (tmp_path / "lines.txt").write_text("\n".join(f"the cat sat on mat {i}" for i in range(24)) + "\n")
    size = "--model.width 24 --model.heads 2 --model.depth 2 --trainer.max_epochs 1"
    size += " --trainer.precision 32-true --text.pieces bpe"
    commands = [
        f"train --config text_sst2 --name words --data.name text --data.root ../reviews.tsv {size} "
        "--text.vocabulary 120",
        "evaluate runs/words",
        "predict runs/words ../texts.txt --output rows.csv",
        "embed runs/words ../texts.txt --output vectors.csv",
        "attend runs/words ../texts.txt --output maps",
        "attend runs/words ../texts.txt --output relevance --method relevance",
        f"train --config text_lm --name lm --data.root ../lines.txt --trainer.max_time null {size} "
        "--text.vocabulary 300",
        "evaluate runs/lm",
        "generate runs/lm --text cat --temperature 1 --top-p 0.9 --seed 3",
        "attend runs/lm --text cat --output written --max-tokens 3",
    ]
    places = both(commands, tmp_path, monkeypatch)
    for file in ("rows.csv", "vectors.csv", "maps/attend.csv", "relevance/attend.csv", "written/attend.csv"):
        assert_same_rows(file, places)
