"""From a model and a dataset to figures on corrupted images and unknown inputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vit
from vit.errors import UsageError, VitError
from vit.evaluation.unknown import auroc, probability
from vit.recipes.evaluation import robustness
from vit.recipes.evaluation.data import EvaluationData, evaluation_data
from vit.recipes.evaluation.robustness import evaluate_corruptions, evaluate_unknown


@pytest.fixture(scope="module")
def measured(digits_run: Path) -> tuple[Any, EvaluationData]:
    model = vit.load_model(digits_run)
    return model, evaluation_data(model, str(digits_run), None)


def test_corruptions_of_drawn_images(
    measured: tuple[Any, EvaluationData], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = measured
    names = ("shot_noise", "contrast")
    figures = evaluate_corruptions(model, data, "test", images=11, names=names)
    assert figures["n"] == 11
    assert (figures["split"], figures["seed"]) == ("test", 0)
    assert [row["corruption"] for row in figures["rows"]] == ["shot_noise"] * 5 + ["contrast"] * 5
    monkeypatch.setattr(robustness, "BATCH_SIZE", 3)
    assert evaluate_corruptions(model, data, "test", images=11, names=names) == figures
    assert evaluate_corruptions(model, data, "test", images=11, names=names, seed=1) != figures
    everything = evaluate_corruptions(model, data, "test", images=10**6, names=("brightness",))
    assert everything["n"] == len(data.parts["test"])


def test_unknown_pictures(measured: tuple[Any, EvaluationData], pictures: Path) -> None:
    model, data = measured
    (pictures / "notes.txt").write_text("no picture")
    figures = evaluate_unknown(model, data, "test", [str(pictures)])
    assert (figures["n_known"], figures["n_unknown"]) == (len(data.parts["test"]), 7)
    assert [name for name, _ in figures["skipped"]] == ["notes.txt"]
    with torch.no_grad():
        known = probability(model(data.normalise(data.parts["test"][list(range(figures["n_known"]))][0])))
        files = sorted(pictures.rglob("*.png"))
        unknown = probability(model(torch.stack([model.preprocess(Image.open(file)) for file in files])))
    assert figures["scores"]["probability"]["auroc"] == pytest.approx(auroc(known, unknown), abs=1e-4)
    threshold = figures["threshold"]
    assert threshold["n"] == len(data.parts["val"])
    assert figures["known_kept"] == pytest.approx(float((known >= threshold["threshold"]).double().mean()))
    assert figures["unknown_found"] == pytest.approx(
        float((unknown < threshold["threshold"]).double().mean())
    )


def test_without_validation_there_is_no_threshold(
    measured: tuple[Any, EvaluationData], pictures: Path
) -> None:
    model, data = measured
    alone = data._replace(parts={"test": data.parts["test"]})
    figures = evaluate_unknown(model, alone, "test", [str(pictures)])
    assert figures["threshold"] is None
    assert "known_kept" not in figures


def test_what_is_refused(measured: tuple[Any, EvaluationData], tmp_path: Path, texts_run: Path) -> None:
    model, data = measured
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(VitError, match="no file can be read of 1"):
        evaluate_unknown(model, data, "test", [str(tmp_path)])
    with pytest.raises(VitError, match="does not exist"):
        evaluate_unknown(model, data, "test", [str(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match="corruption is 'rain'"):
        evaluate_corruptions(model, data, "test", names=("rain",))
    with pytest.raises(UsageError, match="apply to image models only"):
        evaluate_corruptions(vit.load_model(texts_run), data, "test")
