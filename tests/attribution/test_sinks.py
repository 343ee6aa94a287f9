"""Sinks of attention, against loops over weights that are formed one by one."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vit
from vit.attribution.mass import ENTRIES, _received, attention_mass, attention_received, sink_patches
from vit.vision import VisionTransformer

from ..towers import vision_tower
from .towers import COLS, IMAGES, KINDS, ROWS, tower

WEIGHTS = Path(os.environ.get("VIT_DATA", "")).parent / "models/dinov2-vits14"
WEIGHTS /= "vit_small_patch14_dinov2.safetensors"


def received(weights: list[Tensor], prefix: int) -> np.ndarray:
    """By the definition, in float64: weights are L x (H, N, N)."""
    layers = []
    for layer in weights:
        mean = layer.double().mean(0).numpy()[prefix:, prefix:]
        count = len(mean)
        shares = [[] for _ in range(count)]
        for query in range(count):
            others = [key for key in range(count) if key != query]
            total = sum(mean[query, key] for key in others)
            for key in others:
                shares[key].append(mean[query, key] / total * (count - 1))
        layers.append([sorted(each)[(len(each) - 1) // 2] for each in shares])
    return np.max(layers, axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_received_is_its_definition(kind: str) -> None:
    model = tower(**KINDS[kind])
    found = attention_received(model, IMAGES)
    assert found.shape == (len(IMAGES), ROWS * COLS)
    with vit.record_attention(model) as tape, torch.no_grad():
        model(IMAGES)
    for image in range(len(IMAGES)):
        expected = received([layer[image] for layer in tape.weights()], model.prefix)
        assert np.abs(found[image].numpy() - expected).max() <= 1e-5 * expected.max()


def test_a_batch_is_its_images_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tower(pool="cls")
    whole = attention_received(model, IMAGES)
    monkeypatch.setattr("vit.attribution.mass.ENTRIES", 2 * (1 + ROWS * COLS) ** 2)
    torch.testing.assert_close(attention_received(model, IMAGES), whole)
    assert ENTRIES > 0


def attracting() -> VisionTransformer:
    """A tower whose first layer attends to bright patches, whatever the query, and adds nothing of them."""
    model = vision_tower(0, (24, 24), channels=1, patch_size=(3, 3), width=16, depth=2, heads=2).eval()
    attention = model.encoder.blocks[0].attention
    with torch.no_grad():
        model.tokenizer.project.weight.zero_()
        model.tokenizer.project.weight[0] = 1.0  # channel 0 is the brightness
        model.positions.table.zero_()
        for part in (attention.query, attention.key):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        attention.query.bias.fill_(1.0)
        attention.key.weight[:, 0] = 1.0
        nn.init.zeros_(attention.output.weight)
    return model


def test_a_patch_that_all_others_attend_to_is_a_sink() -> None:
    model = attracting()
    images = torch.zeros(2, 1, 24, 24)
    images[0, :, 6:9, 15:18] = 9.0  # patch 2,5
    found = sink_patches(attention_received(model, images))
    assert found[0].view(8, 8).nonzero().tolist() == [[2, 5]]
    assert not found[1].any()


def test_patches_that_attend_to_themselves_are_none() -> None:
    weights = torch.eye(64)[None] * 0.9 + 0.1 / 64
    assert _received(weights).max() == pytest.approx(1)


def test_a_group_that_attends_to_one_of_its_own_is_none() -> None:
    """A quarter of the patches, an object, gives half of its attention to one of them."""
    weights = torch.full((1, 64, 64), 1 / 64)
    weights[0, :16] = 0.5 / 63
    weights[0, :16, 3] = 0.5
    assert not sink_patches(_received(weights)).any()


def test_a_single_patch_has_no_others() -> None:
    model = vision_tower(0, (8, 8), channels=1, patch_size=(8, 8), width=16, depth=1, heads=2).eval()
    assert attention_received(model, torch.zeros(2, 1, 8, 8)).tolist() == [[0.0], [0.0]]


def test_the_mass_of_sinks_is_a_part_of_the_patches() -> None:
    scores = torch.tensor([[0.2, 0.1, 0.0, 0.3, 0.4]])
    outliers = torch.tensor([[False, False, True, False]])
    sinks = torch.tensor([[False, False, True, True]])
    mass = attention_mass(scores, 1, True, outliers, sinks)
    assert mass.pop("sinks").item() == pytest.approx(0.7)
    assert sum(mass.values()).item() == pytest.approx(1)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs the weights of a DINOv2-shaped backbone")
def test_sinks_of_a_backbone_on_photographs() -> None:
    """One patch in each of four photographs, which has the usual norm."""
    data = pytest.importorskip("skimage.data")
    model = vit.load_model(WEIGHTS, like="timm:vit_small_patch14_dinov2")
    preprocess = replace(model.preprocess, height=224, width=224)
    pictures = [data.chelsea(), data.astronaut(), data.coffee(), data.rocket()]
    images = torch.stack([preprocess(picture) for picture in pictures])
    found = attention_received(model, images)
    places = [[divmod(int(patch), 16) for patch in row.nonzero()] for row in sink_patches(found)]
    assert places == [[(2, 8)], [(15, 15)], [(4, 12)], [(6, 7)]]
    ordered = found.sort(descending=True).values
    assert ordered[:, 0].min() > 40
    assert ordered[:, 1].max() < 12
