"""Features of a frozen model: those of the model, computed once, and anew when anything changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vit
from vit.data.images import TensorImages
from vit.recipes import features as module
from vit.recipes.features import feature_key, frozen_features


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that keeps everything."""
    monkeypatch.setenv("VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "WORTH_STORING", 0.0)
    return tmp_path / "cache" / "features"


@pytest.fixture
def model(digits_run: Path) -> Any:
    return vit.load_model(digits_run)


@pytest.fixture
def examples(model: Any) -> TensorImages:
    generator = torch.Generator().manual_seed(0)
    preprocess = model.preprocess
    shape = (7, preprocess.channels, preprocess.height, preprocess.width)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return TensorImages(pixels, torch.arange(7) % 2, list("abcdefg"), [f"{i:064x}" for i in range(7)])


def test_they_are_computed_once(
    model: Any, examples: TensorImages, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise = model.preprocess.normalise
    first = frozen_features(model, examples, normalise, batch_size=3)
    with torch.no_grad():
        torch.testing.assert_close(first, model.features(normalise(examples.pixels)), atol=1e-5, rtol=0)
    assert len(list(folder.glob("*.safetensors"))) == 1

    def used(raw: Tensor) -> Tensor:
        pytest.fail("the features were computed again")

    second = frozen_features(model, examples, used)
    assert torch.equal(first, second)
    second.zero_()  # a copy: the file stays as it is
    assert torch.equal(frozen_features(model, examples, used), first)
    with pytest.raises(pytest.fail.Exception):
        frozen_features(model, examples, used, use_cache=False)


def test_the_key_follows_all_but_the_head(model: Any, examples: TensorImages) -> None:
    key = feature_key(model, examples)
    with torch.no_grad():
        model.head.weight += 1
    assert feature_key(model, examples) == key
    keys = {key}
    changed = TensorImages(examples.pixels, examples.targets, examples.names, examples.digests[::-1])
    keys.add(feature_key(model, changed))
    keys.add(feature_key(model, examples.subset([0, 1])))
    without = TensorImages(examples.pixels, examples.targets, examples.names)
    keys.add(feature_key(model, without))
    without.pixels = without.pixels.clone()
    without.pixels[3, 0, 0, 0] ^= 1
    keys.add(feature_key(model, without))
    model.autocast = torch.bfloat16
    keys.add(feature_key(model, examples))
    model.autocast = None
    preprocess = model.preprocess
    model.preprocess = replace(preprocess, mean=tuple(value + 0.1 for value in preprocess.mean))
    keys.add(feature_key(model, examples))
    model.preprocess = preprocess
    with torch.no_grad():
        model.encoder.blocks[0].mlp.expand.bias[0] += 1
    keys.add(feature_key(model, examples))
    assert len(keys) == 8
