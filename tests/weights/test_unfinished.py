"""A run that goes on, or was stopped, as a model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vit.cli import main
from vit.errors import VitError
from vit.training.module import Classifier
from vit.weights import read_bundle
from vit.weights.models import load_model, open_bundle
from vit.weights.unfinished import checkpoint_weights


def unfinished(run: Path, folder: Path) -> Path:
    """A finished run as it was before its model was written."""
    copy = folder / "runs" / "unfinished"
    shutil.copytree(run, copy)
    (copy / "model" / "model.safetensors").unlink()
    return copy


def shell(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vit.cli", *words], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("fixture", ["digits_run", "texts_run"])
def test_it_is_the_model_of_its_best_checkpoint(
    fixture: str, tmp_path: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    run = request.getfixturevalue(fixture)
    copy = unfinished(run, tmp_path)
    found, expected = load_model(copy), load_model(run)
    assert found.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert found.labels == expected.labels
    assert found.preprocess.to_dict() == expected.preprocess.to_dict()
    open_bundle(copy)
    epoch = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] + 1
    said = [record.message for record in caplog.records]
    assert said == [f"{copy} is not finished: this is its best checkpoint so far, of epoch {epoch}"]


class Cut(BaseException):
    """Stands for a power cut."""


def cut(*args: Any) -> None:
    raise Cut


def test_a_run_that_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it writes at its beginning is enough, and is replaced at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plain, steps = Classifier.training_step, []

    def step(self: Classifier, *args: Any) -> torch.Tensor:
        steps.append(self.current_epoch)
        if len(steps) == 3:
            folders.append(sorted(path.name for path in Path("runs/run/model").iterdir()))
            assert main(["info", "runs/run"]) == 1  # there is no checkpoint yet
        if self.current_epoch == 1 and steps.count(1) == 5:
            raise Cut
        return plain(self, *args)

    folders: list[list[str]] = []
    words = "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 3 --optim.ema 0.9"
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", step)
        with pytest.raises(Cut):
            main([*words.split(), "--trainer.overlays", "0", "--name", "run"])
    assert folders == [["config.json"]]
    assert "is a run without a finished model: continue it" in capsys.readouterr().err
    assert json.loads(Path("runs/run/model/config.json").read_text())["scores"] == {}

    done = shell("evaluate", "runs/run", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["n"] == 359
    assert done.stderr == "runs/run is not finished: this is its best checkpoint so far, of epoch 1\n"
    state = torch.load("runs/run/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(open_bundle("runs/run").weights["head.weight"], state["model.head.weight"])
    assert main(["info", "runs/run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {}

    assert main("train --name run --resume".split()) == 0  # noqa: SIM905
    before = {path: path.read_bytes() for path in Path("runs/run/model").iterdir()}
    assert read_bundle(Path("runs/run/model")).scores["val"]["n"] == 143
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", cut)
        with pytest.raises(Cut):
            main("train --name run --resume --trainer.max_epochs 5".split())  # noqa: SIM905
    assert {path: path.read_bytes() for path in Path("runs/run/model").iterdir()} == before


def test_a_damaged_checkpoint(digits_run: Path, tmp_path: Path) -> None:
    copy = unfinished(digits_run, tmp_path)
    best = copy / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:5000])
    with pytest.raises(VitError, match=r"best\.ckpt is damaged, or holds more than tensors and plain values"):
        load_model(copy)
    torch.save({"state_dict": {}}, best)
    with pytest.raises(VitError, match=r"best\.ckpt is not a checkpoint of a run"):
        load_model(copy)


def test_a_run_of_an_earlier_version_has_no_description(digits_run: Path, tmp_path: Path) -> None:
    copy = unfinished(digits_run, tmp_path)
    (copy / "model" / "config.json").unlink()
    with pytest.raises(
        VitError, match="is a run without a finished model: continue it with vit train --resume"
    ):
        load_model(copy)


def test_names_of_earlier_versions() -> None:
    weights = {
        "model.words.weight": torch.ones(2),
        "model.head.bias": torch.zeros(3),
        "val_loss.total": torch.ones(1),
    }
    found = checkpoint_weights({"state_dict": weights})
    assert list(found) == ["token_embedding.weight", "head.bias"]


def test_the_other_verbs(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    copy = unfinished(digits_run, tmp_path)
    rows = []
    for model, name in ((digits_run, "a.csv"), (copy, "b.csv")):
        assert main(["predict", str(model), str(pictures), "--output", str(tmp_path / name)]) == 0
        rows.append((tmp_path / name).read_text())
    assert rows[0] == rows[1]
    assert (
        main(["attend", str(copy), os.fspath(pictures / "a.png"), "--output", str(tmp_path / "drawn")]) == 0
    )
