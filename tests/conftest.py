"""What the tests share: a small trained run, and pictures in folders."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from vit.cli import main

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each process of tests, and for those that it starts
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded pixels are kept for these tests alone, also by the commands that they start."""
    os.environ["VIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """A file of `scripts/` as a module, by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).parents[1] / "scripts" / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs/small` of a model that has seen the digits for a moment, in a folder of its own."""
    place = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(place)
    try:
        words = "train --config digits --name small --model.width 24 --model.depth 2 --trainer.max_epochs 2"
        assert main([*words.split(), "--trainer.precision", "32-true"]) == 0
    finally:
        os.chdir(before)
    return place / "runs" / "small"


@pytest.fixture(scope="session")
def texts_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs/words` of a text model that has learnt 42 short reviews for a moment."""
    place = tmp_path_factory.mktemp("texts")
    good, bad = ("a fine film", "what a joy", "i liked it"), ("dull", "a mess", "i hated it")
    sides = [("pos", text) for text in good] + [("neg", text) for text in bad]
    rows = [f"{label}\t{text} , take {take}" for take in range(7) for label, text in sides]
    (place / "reviews.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    before = Path.cwd()
    os.chdir(place)
    try:
        words = "train --config text_sst2 --name words --data.name text --data.root reviews.tsv"
        sizes = (
            "--model.width 24 --model.heads 2 --text.pieces bpe --text.vocabulary 120 --trainer.max_epochs 2"
        )
        assert main([*words.split(), *sizes.split(), "--trainer.precision", "32-true"]) == 0
    finally:
        os.chdir(before)
    return place / "runs" / "words"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of seven noisy 8 x 8 pictures, two of them in a folder below."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    noise = torch.Generator().manual_seed(7)
    for name in ("a.png", "b.png", "c-d.png", "c.png", "deep/a.png", "deep/z.png", "e.png"):
        pixels = torch.randint(0, 256, (8, 8), generator=noise, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / name)
    return folder
