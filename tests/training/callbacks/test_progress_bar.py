"""The progress bar of a run."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from vit.config_file import stored_config
from vit.evaluation.results import read_metrics
from vit.recipes.train import train
from vit.training.run_folder import prepare_run_folder


def test_it_ends_at_100_percent(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = stored_config(digits_run / "config.yaml")
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    train(config, prepare_run_folder("bar", config), console)
    assert isinstance(console.file, io.StringIO)
    bar = [line for line in console.file.getvalue().splitlines() if "epoch" in line][-1]
    rows = read_metrics(Path("runs/bar/metrics.csv"))
    assert "epoch 2" in bar
    assert "100%" in bar
    assert f"val {100 * float(rows[-1]['val_accuracy'] or 0):.1f} %" in bar
    assert "ETA 0:00:00" in bar
