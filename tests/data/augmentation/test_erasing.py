import pytest
import torch

from vit.data.augmentation.erasing import random_erasing
from vit.data.randomness import uniforms


def test_erasing_leaves_the_rest_and_has_the_papers_size():
    images = torch.ones(1500, 3, 31, 37)
    u = uniforms(0, 0, torch.arange(1500), 5)
    result = random_erasing(images, u, 0.4)
    assert torch.equal(images, torch.ones_like(images))
    part = (result[:, 0] == 0).float().mean((1, 2))
    assert torch.equal(result[:, 0], result[:, 2])
    assert (part > 0).float().mean() == pytest.approx(0.4, abs=0.04)
    hit = part[part > 0]
    assert hit.min() > 0.012
    assert hit.max() < 0.35
    for one in result[:50, 0]:  # the hole is a rectangle
        hole = one == 0
        assert hole.sum() == hole.any(0).sum() * hole.any(1).sum()
