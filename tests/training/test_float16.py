"""Training in float16 with a scaler of the loss, as cards without bfloat16 do it; here on the CPU."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from vit.cli import main
from vit.training import fit

TINY = "train --config digits --name {name} --model.width 24 --model.depth 2 --trainer.overlays 0 --seed 3"


@pytest.fixture
def scalers(monkeypatch: pytest.MonkeyPatch) -> list[torch.amp.GradScaler]:
    """Lightning refuses `16-mixed` on a CPU: its own plugin for it is given instead. The runs' scalers."""
    made: list[torch.amp.GradScaler] = []
    trainer = fit._trainer

    def with_scaler(*, precision: str, plugins: list[Any], **options: Any) -> Any:
        assert precision == "16-mixed"
        made.append(torch.amp.GradScaler("cpu"))
        return trainer(**options, plugins=[*plugins, MixedPrecision(precision, "cpu", made[-1])])

    monkeypatch.setattr(fit, "_trainer", with_scaler)
    return made


def train(name: str, options: str) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    command = f"{TINY.format(name=name)} --trainer.precision 16-mixed {options}"
    assert main(command.split()) == 0
    return torch.load(Path("runs") / name / "checkpoints" / "last.ckpt", weights_only=True)


def test_a_run_in_float16_learns_and_keeps_its_scaler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scalers: list[torch.amp.GradScaler]
) -> None:
    monkeypatch.chdir(tmp_path)
    state = train("run", "--trainer.max_epochs 2")
    weights = state["state_dict"]
    assert all(tensor.dtype == torch.float32 for tensor in weights.values() if tensor.is_floating_point())
    assert all(tensor.isfinite().all() for tensor in weights.values())
    with (Path("runs") / "run" / "metrics.csv").open(newline="") as stream:
        losses = [float(row["train_loss"]) for row in csv.DictReader(stream)]
    assert losses[-1] < losses[0]

    resumed = train("run", "--trainer.max_epochs 3 --resume")
    before, after = state["MixedPrecision"], resumed["MixedPrecision"]
    assert before["scale"] == after["scale"] > 1
    steps = resumed["global_step"] - state["global_step"]
    assert after["_growth_tracker"] == before["_growth_tracker"] + steps > steps


def test_steps_that_overflow_are_skipped_while_the_scaler_finds_its_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scalers: list[torch.amp.GradScaler]
) -> None:
    monkeypatch.chdir(tmp_path)
    start = 2.0**28  # far too large: float16 ends at 65,504
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device: _scaler(device, start))
    found = train("high", "--trainer.max_epochs 2")
    assert found["MixedPrecision"]["scale"] < start
    assert all(tensor.isfinite().all() for tensor in found["state_dict"].values())


_made = torch.amp.GradScaler


def _scaler(device: str, start: float) -> torch.amp.GradScaler:
    return _made(device, init_scale=start)
