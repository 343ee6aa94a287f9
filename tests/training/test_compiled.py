"""Runs with `trainer.compile`: their files have plain names, and a last, smaller batch makes no new graph."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

import vit
from vit.cli import main

TINY = "--model.width 24 --model.depth 2 --trainer.precision 32-true --trainer.overlays 2 --optim.ema 0.9"


@pytest.fixture
def _eager_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are captured and run as they are, which needs no compiler."""
    compiled = torch.compile

    def eager(model: Any = None, *args: Any, **options: Any) -> Any:
        options |= {"backend": "eager", "mode": None, "options": None}
        return partial(compiled, **options) if model is None else compiled(model, *args, **options)

    monkeypatch.setattr(torch, "compile", eager)


def train(name: str, options: str) -> int:
    """Train for an epoch, and return the number of graphs."""
    torch._dynamo.reset()
    counters.clear()
    command = f"train --config digits --name {name} --trainer.compile true {TINY} {options}"
    assert main(command.split()) == 0
    assert not counters["graph_break"]
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.usefixtures("_eager_backend")
def test_files_have_plain_names_and_a_smaller_batch_makes_no_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Batches of 256 in validation: 143 pictures are one batch, 575 are three, of which the last has 63.
    even = train("even", "--trainer.max_epochs 1 --data.val_fraction 0.1")
    uneven = train("uneven", "--trainer.max_epochs 1 --data.val_fraction 0.4")
    assert 1 <= uneven <= even
    train("uneven", "--trainer.max_epochs 2 --data.val_fraction 0.4 --resume")
    files = [file for file in Path("runs").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".ckpt", ".safetensors", ".json", ".yaml"}
    assert not [file for file in files if b"_orig_mod" in file.read_bytes()]
    assert vit.load_model("runs/uneven").labels[0] == "0"


@pytest.mark.usefixtures("_eager_backend")
def test_a_compiled_model_is_saved_under_plain_names(digits_run: Path, tmp_path: Path) -> None:
    plain: Any = vit.load_model(digits_run)
    compiled = torch.compile(vit.load_model(digits_run))
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), plain(images))
    compiled.save(tmp_path / "compiled")
    plain.save(tmp_path / "plain")
    files = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("compiled", "plain")
    ]
    assert files[0] == files[1]
