"""The commands of README.md, docs/index.md and docs/tutorial.md run, in their order."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from vit.cli import main

from .commands import FENCE, ROOT, is_form, split, typed

# A run of a moment in place of minutes.
SHORT = ["--trainer.max_epochs", "1", "--trainer.precision", "32-true", "--trainer.overlays", "0"]
STAYS = ("vit", "serve")  # until Ctrl-C
INSTALLED = (("git", "clone"), ("source", ".venv/bin/activate"), ("make", "install"), ("make", "quickstart"))


@pytest.fixture
def place(
    tmp_path: Path, digits_run: Path, script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with what a reader has: a checkout, pictures, and what `make quickstart` leaves."""
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    pictures = script("quickstart").write_test_images(tmp_path / "quickstart" / "pictures")
    shutil.copytree(digits_run, tmp_path / "runs" / "quickstart")
    shutil.copytree(pictures, tmp_path / "my_pictures")
    shutil.copytree(pictures / "3", tmp_path / "more_pictures")
    Image.effect_noise((40, 30), 60).convert("RGB").save(tmp_path / "cat.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(page: Path, short: list[str]) -> None:
    """Type every line of a page, `short` after those that train; then run its Python."""
    for line in typed(page):
        words = split(line)[0]
        if is_form(line) or words[:2] in (*INSTALLED, STAYS):
            continue
        if words[0] == "vit":
            arguments = [*words[1:], *(short if words[1] == "train" else [])]
            assert main(arguments) == 0, line
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            subprocess.run(["bash", "-ec", line], env=os.environ | {"PATH": path}, check=True)
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        if match[2] == "python":
            exec(compile(match[3], page.name, "exec"), {})


def labels(file: Path) -> dict[str, str]:
    with file.open(newline="") as stream:
        return {row["path"]: row["label"] for row in csv.DictReader(stream)}


def test_the_readme(place: Path) -> None:
    follow(ROOT / "README.md", SHORT)
    assert len(labels(place / "labels.csv")) == len(list((place / "more_pictures").iterdir()))
    assert (place / "overlays" / "sheet.png").is_file()


@pytest.mark.slow
def test_the_tutorial(place: Path) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image: the docs extra")
    follow(ROOT / "docs" / "tutorial.md", SHORT)
    # What the page says of the shipped model.
    said = {"astronaut.png": "dog", "chelsea.png": "cat", "coffee.png": "automobile", "rocket.png": "ship"}
    assert labels(place / "labels.csv") == said
    assert (place / "why" / "sheet.png").is_file()
    assert len(labels(place / "mine.csv")) == 359


@pytest.mark.slow
def test_the_tutorial_as_it_stands(place: Path) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image: the docs extra")
    shutil.rmtree(place / "quickstart")
    shutil.rmtree(place / "runs")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "quickstart.py")], check=True)
    follow(ROOT / "docs" / "tutorial.md", [])
    right = [Path(path).parent.name == label for path, label in labels(place / "mine.csv").items()]
    assert sum(right) > 0.9 * len(right)
