"""Stochastic depth."""

import pytest
import torch
import torchvision

from vit.core.block import StochasticDepth


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_it_draws_as_torchvision(rate: float, training: bool) -> None:
    ours = StochasticDepth(rate).train(training)
    theirs = torchvision.ops.StochasticDepth(rate, "row").train(training)
    tokens = torch.randn(31, 5, 7)
    results = []
    for module in (ours, theirs):
        torch.manual_seed(3)
        results.append(module(tokens))
    assert torch.equal(*results)
    assert repr(ours) == repr(theirs)  # a digest of the model uses it
