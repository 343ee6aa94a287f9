"""LibraGrad, FullGrad+ (Mehri, Baghshah & Pilehvar 2025, "LibraGrad: balancing gradient flow", 2.1)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.attribution.balanced import balanced_pass, contribution
from vit.attribution.explain import Explanation
from vit.attribution.passes import explanation
from vit.attribution.query import Query
from vit.core import Tower


def run(model: Tower, inputs: Tensor, query: Query, targets: Tensor | None) -> Explanation:
    """What each token's states and biases add to the target's logit by balanced gradients, in all layers."""
    found = balanced_pass(model, inputs, query, targets, biases=True)
    row = fullgrad(zip(found.states, found.gradients, strict=True), found.biases)
    return explanation(model, found.grid, row, found.last, found.logits, found.targets)


def fullgrad(layers: Iterable[tuple[Tensor, Tensor]], biases: Iterable[Tensor]) -> Tensor:
    """FullGrad+: input times gradient of every layer, and bias times gradient of every bias.

    Args:
        layers: L x, the input of a layer and the score's gradient by it, (B, N, D) each.
        biases: (B, N) each, what biases add to the score at each token.

    Returns:
        (B, N), in units of the score: about L times as large.
    """
    inputs = [contribution(states, gradient) for states, gradient in layers]
    return torch.stack([*inputs, *biases]).sum(0)
