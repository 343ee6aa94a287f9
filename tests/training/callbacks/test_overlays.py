"""The callback that draws attribution maps after each epoch."""

from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.training.callbacks.overlays import Overlays, round_robin_by_class


def test_a_run_has_a_sheet_per_epoch(digits_run: Path) -> None:
    sheets = sorted((digits_run / "overlays").iterdir())
    assert [sheet.name for sheet in sheets] == ["epoch_001.png", "epoch_002.png"]
    drawn = []
    for sheet in sheets:
        with Image.open(sheet) as image:
            drawn.append((image.size, image.tobytes()))
    assert drawn[0][0] == drawn[1][0]
    assert drawn[0][1] != drawn[1][1]
    events = b"".join(file.read_bytes() for file in (digits_run / "tensorboard").glob("events*"))
    assert events.count(b"\x89PNG") == 2  # and in the log


def test_none_are_drawn_where_none_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = (
        "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 1 --trainer.overlays 0"
    )
    assert main(args.split()) == 0
    assert not (tmp_path / "runs" / "digits" / "overlays").exists()
    assert main(["train", "--config", "digits", "--name", "x", "--trainer.overlays", "-1"]) == 2


def test_it_sees_the_averaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlay is drawn with the weights that validation measured, and that the checkpoint keeps."""
    seen: list[dict[str, torch.Tensor]] = []

    def watch(self: Overlays, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seen.append({name: value.clone() for name, value in pl_module.model.state_dict().items()})

    monkeypatch.setattr(Overlays, "on_validation_epoch_end", watch)
    monkeypatch.chdir(tmp_path)
    args = "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 1 --optim.ema 0.9"
    assert main(args.split()) == 0
    kept = vit.load_model("runs/digits").state_dict()
    for name, value in seen[-1].items():
        torch.testing.assert_close(value, kept[name])


def test_round_robin_by_class() -> None:
    targets = torch.tensor([2, 2, 0, 2, 1, 0])
    assert round_robin_by_class(targets, 4) == [2, 4, 0, 5]
    assert round_robin_by_class(targets, 99) == [2, 4, 0, 5, 1, 3]
    assert round_robin_by_class(targets, 0) == []
