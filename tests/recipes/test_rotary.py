"""`model.positions rotary` for images and for texts."""

import json
from pathlib import Path

import pytest
import torch

import vit
from vit.cli import main

SIZES = "--model.positions rotary --model.depth 1 --trainer.max_epochs 1 --trainer.precision 32-true"


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_tower_turns_queries_and_keys(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{label}\ta text of {label} number {n}" for label in ("good", "bad") for n in range(20)]
    Path("texts.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    config = {
        "image": "--config digits --model.width 24 --model.heads 3",
        "text": "--config text_sst2 --data.name text --data.root texts.tsv --model.width 24 --model.heads 2",
    }[kind]
    assert main(["train", *config.split(), *SIZES.split(), "--name", "run"]) == 0
    model = vit.load_model("runs/run")
    assert model.positions is None
    inputs = model.preprocess("a")[None] if kind == "text" else torch.zeros(1, 1, *model.image_size)
    assert model.relations(inputs)[0].rotation is not None
    capsys.readouterr()
    assert main(["info", "runs/run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == 24
    assert main(["evaluate", "runs/run", "--json"]) == 0


def test_heads_of_an_odd_width_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(["train", *f"--config digits {SIZES} --model.width 15 --model.heads 3 --name run".split()]) == 1
    )
    assert "head_width is 5, expected a multiple of 4" in capsys.readouterr().err
