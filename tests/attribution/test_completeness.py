"""The account of a map: its sum beside the score's difference."""

import pytest
import torch
from torch import nn

from vit.attribution.completeness import completeness
from vit.attribution.explain import explain

from .towers import IMAGES, B, tower

TARGETS = torch.tensor([4, 0, 9])


def linear() -> nn.Module:
    """A model that is linear in its pixels: blocks that add nothing, no norms, a mean."""
    model = tower(pool="mean", class_token=False, encoder_norm=False)
    for block in model.encoder.blocks:
        for last in (block.attention.output, block.mlp.contract):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return model


def test_a_linear_model_is_explained_completely() -> None:
    model = linear()
    found = completeness(model, IMAGES, explain(model, IMAGES, "libra", TARGETS))
    torch.testing.assert_close(found.total, found.difference, atol=1e-5, rtol=1e-5)
    assert found.difference.abs().min() > 1e-3


@pytest.mark.parametrize("query", ["cls", (2, 3)])
def test_both_sides(query: str | tuple[int, int]) -> None:
    """Against two passes and a sum by hand."""
    model = tower()
    explained = explain(model, IMAGES, "libra", TARGETS, query, baseline="mean")
    found = completeness(model, IMAGES, explained, query, baseline="mean")
    bare = completeness(model, IMAGES, explained, query, baseline="none")
    for index in range(B):
        color = IMAGES[index].mean() * torch.ones(1, 1, 10, 21)
        scores = []
        for image in (IMAGES[index : index + 1], color):
            states = model.encode(image)
            logits = model.read(states) if query == "cls" else model.head(states[:, 1 + 2 * 7 + 3])
            scores.append(logits[0, TARGETS[index]].detach())
        torch.testing.assert_close(found.difference[index], scores[0] - scores[1])
        torch.testing.assert_close(bare.difference[index], scores[0])
        torch.testing.assert_close(found.total[index], explained.maps[index].sum())
