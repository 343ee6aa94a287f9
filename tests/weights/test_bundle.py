"""A bundle comes back as it was written; a broken one says what is broken."""

import json
from pathlib import Path

import pytest
import torch

from vit.errors import VitError
from vit.weights import Bundle, read_bundle, write_bundle
from vit.weights.models import from_bundle, load_model


def bundle() -> Bundle:
    return Bundle(
        architecture={"classes": 3, "image_size": [6, 10], "patch_size": [2, 5], "width": 12, "depth": 1,
                      "heads": 2, "channels": 1},
        labels=["a", "<b>", "ünï"],
        preprocess={"height": 6, "width": 10, "channels": 1, "mean": [0.5], "std": [0.25], "crop": 1.0,
                    "interpolation": "bicubic"},
        weights={},
        scores={"val": {"accuracy": 0.5, "n": 2}},
        training={"data": {"name": "digits"}},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from vit.weights.models import make_tower

    stored = bundle()
    stored.weights = make_tower(stored.architecture).state_dict()
    write_bundle(tmp_path / "model", stored)
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    stored = read_bundle(folder)
    assert vars(stored) | {"weights": {}} == vars(bundle())
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    model = load_model(folder)
    assert model.labels == ["a", "<b>", "ünï"]
    assert not model.training
    images = torch.randn(2, 1, 6, 10)
    assert torch.equal(model(images), from_bundle(stored)(images))


def test_who_may_read_the_description_may_read_the_weights(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_no_pickle_is_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(bundle().weights, folder / "model.safetensors")
    with pytest.raises(VitError, match="cannot be read"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "vit-bundle-9"}, "format 'vit-bundle-9', expected 'vit-bundle-1'"),
        ({"labels": ["a", "b"]}, "2 labels, expected 3"),
        ({"surprise": 1}, "surprise"),
        ({"architecture": {"classes": 3}}, "cannot be built"),
        ({"preprocess": {"height": 6}}, "preprocess"),
        ({"labels": 3}, "labels is 3, expected a JSON array"),
        ({"architecture": []}, "expected a JSON object"),
        ({"architecture": {"classes": 3, "image_size": 32}}, "cannot be built"),
        ({"architecture": {"classes": 3, "image_size": [8, 8], "heads": 0}}, "multiple of heads = 0"),
        ({"architecture": {"tower": ["vision"]}}, "expected one of: vision, text"),
    ],
)
def test_a_changed_description_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(description | change))
    with pytest.raises(VitError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    description["architecture"]["depth"] = 2
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(VitError, match="do not fit"):
        load_model(folder)


def test_a_description_that_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(VitError, match=r"is .* a model bundle"):
        load_model(folder)
