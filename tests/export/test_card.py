"""The card of a model."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import vit
from vit.data.preprocess import Preprocess
from vit.export.card import AUTO_CLASSES, EXIF, LOADING, model_card, task_of

from ..towers import text_tower, vision_tower


def head(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def small(**arguments: Any) -> Any:
    sizes = {"width": 24, "heads": 3, "depth": 2}
    model = vision_tower(2, (12, 20), **(sizes | arguments)).eval()
    model.labels = ["cat", "dog"]
    return model


def test_a_shipped_model() -> None:
    model = vit.load_model("cifar10_plain")
    card = model_card(model, kind="timm", repo_id="someone/small")
    said = head(card)
    assert said["library_name"] == "timm"
    assert said["pipeline_tag"] == "image-classification"
    results = said["model-index"][0]["results"]
    assert {result["dataset"]["split"]: result["metrics"][0]["value"] for result in results}["test"] == 0.8834
    assert 'timm.create_model("hf-hub:someone/small", pretrained=True)' in card
    assert "| test | 10,000 | 0.8834 |" in card
    assert "`airplane`, `automobile`" in card
    assert "0.4931, 0.4830, 0.4472" in card
    assert EXIF in card
    assert card.startswith("---\n")
    assert ModelCard(card).data.pipeline_tag == "image-classification"  # the hub's own reader


@pytest.mark.parametrize("kind", LOADING)
def test_every_kind_says_how_it_is_loaded(kind: str) -> None:
    card = model_card(small(), kind=kind, repo_id="someone/small", file="small.onnx")
    assert "## Use" in card
    assert "{" not in card.split("## Use")[1].split("```")[1]
    assert head(card)["library_name"] == LOADING[kind][0]
    assert "model-index" not in head(card)


def test_notes_labels_and_license() -> None:
    model = small()
    model.labels, model.thresholds = [f"label {index}" for index in range(60)], [0.5] * 60
    model.source = {"word": "timm:vit_small", "license": "Apache-2.0"}
    card = model_card(model, notes=["int8: 88.4 -> 88.5 on 2,000."])
    assert head(card)["license"] == "apache-2.0"
    assert "Source: `timm:vit_small`. License of the weights: Apache-2.0." in card
    assert "`label 49` and 10 more." in card
    assert "label 50" not in card
    assert "several labels an input by thresholds" in card
    assert "## Notes\n\n- int8: 88.4 -> 88.5 on 2,000.\n" in card
    model.source["license"] = "to be asked for, by letter"
    assert "license" not in head(model_card(model))


def test_paths_of_this_machine_stay_here(tmp_path: Path) -> None:
    model = small()
    training = {
        "data": {"name": str(tmp_path / "my photos"), "root": "/home/someone/data", "split_seed": 0},
        "init": {"word": str(tmp_path / "runs" / "first"), "license": "mit"},
    }
    card = model_card(model, scores={"test": {"accuracy": 0.5, "n": 7}}, training=training)
    assert os.fspath(tmp_path) not in card
    assert "/home" not in card
    assert "Trained on `my photos` (`root` data, `split_seed` 0)." in card
    assert "Initial weights: `first`. License of the weights: mit." in card
    assert "| test | 7 | 0.5000 |" in card
    training["init"] = {"word": "hf:owner/name"}
    assert "Initial weights: `hf:owner/name`." in model_card(model, scores={}, training=training)


def test_scores_without_figures_are_left_out() -> None:
    scores = {"unknown": {"threshold": 0.5, "n": 5}, "val": {"accuracy": 0.5}, "note": "none"}
    card = model_card(small(), scores=scores, training={})
    assert "## Scores" not in card
    assert "model-index" not in head(card)


TASKS: dict[str, Any] = {
    "image-classification": small,
    "image-feature-extraction": lambda: vision_tower(0, (12, 20), width=24, heads=3),
    "text-classification": lambda: text_tower(2, 40, width=24, heads=3),
    "feature-extraction": lambda: text_tower(0, 40, width=24, heads=3),
    "text-generation": lambda: text_tower(40, 40, width=24, heads=3, causal=True, pool="last"),
}


@pytest.mark.parametrize("task", TASKS)
def test_tasks_have_the_names_of_the_hub(task: str) -> None:
    model = TASKS[task]()
    assert task_of(model) == task
    assert AUTO_CLASSES[task] in model_card(model, kind="transformers")


def test_preprocessing_in_words() -> None:
    model = small()
    model.preprocess = Preprocess(12, 20, resize="squash", interpolation="bilinear", crop=0.875)
    assert "Resize (`squash`, bilinear, antialiased) to 12 x 20 pixels divided by 0.875" in model_card(model)
