"""The models inside the package: whole, small, described, and as good as their cards say."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.config_file import stored_config
from vit.data.datasets import load
from vit.device import best_device
from vit.weights.models import SHIPPED, shipped_models

NAMES = [folder.name for folder in shipped_models()]


def test_there_is_one_of_each_tokenizer() -> None:
    assert NAMES == ["cifar10", "cifar10_plain"]
    kinds = [type(vit.load_model(name).tokenizer).__name__ for name in NAMES]
    assert kinds == ["ConvTokenizer", "PatchTokenizer"]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_small_and_has_its_card(name: str) -> None:
    folder = SHIPPED / name
    assert (folder / "model.safetensors").stat().st_size <= 8e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in ("## Data", "## Training", "## Figures", "## Limits", "calibration error"):
        assert part in card
    for split, scores in json.loads((folder / "config.json").read_text())["scores"].items():
        if split == "unknown":  # the threshold of `vit predict --unknown auto`
            assert f"below {scores['threshold']}" in card
            continue
        assert f"| {split} | {scores['n']:,} | {100 * scores['accuracy']:.2f} % |" in card
    stored_config(folder / "config.yaml")  # the recipe still runs


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_predicts_and_attends_by_its_name(
    name: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", name, str(pictures), "--output", str(tmp_path / "labels.csv")]) == 0
    model = vit.load_model(name)
    with (tmp_path / "labels.csv").open(newline="") as stream:
        found = {row["path"]: row for row in csv.DictReader(stream)}
    assert len(found) == 7
    with torch.no_grad():
        logits = model(model.preprocess(Image.open(pictures / "deep" / "z.png"))[None])
    assert found["deep/z.png"]["label"] == model.labels[int(logits.argmax())]
    words = ["attend", name, str(pictures / "a.png"), "--output", str(tmp_path / "overlays"), "--pages", "0"]
    assert main(words) == 0
    assert main(["models"]) == 0
    assert f"\n{name} " in capfd.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_as_good_as_its_card_says(name: str) -> None:
    if not (Path(os.environ.get("VIT_DATA", "")) / "cifar10").is_dir():
        pytest.skip("CIFAR-10 is not there: set VIT_DATA to a folder with cifar10/test-*.parquet in it")
    model = vit.load_model(name)
    val = load("cifar10").val
    pixels, targets, _ = val[torch.arange(0, len(val), 5)]
    with torch.no_grad():
        right = (model(model.preprocess.normalise(pixels)).argmax(1) == targets).float().mean()
    said = json.loads((SHIPPED / name / "config.json").read_text())["scores"]["val"]["accuracy"]
    assert float(right) == pytest.approx(said, abs=0.03)  # 1,000 of the 5,000


def test_each_process_of_torchrun_has_its_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert best_device() == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert best_device() == torch.device("cuda:1")
