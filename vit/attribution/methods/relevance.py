"""Relevance through all layers (Chefer, Gur & Wolf 2021, "Generic attention-model explainability")."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.gradient import Layer
from vit.attribution.passes import backward_rollout
from vit.attribution.query import Query
from vit.core import Tower


def run(model: Tower, inputs: Tensor, query: Query, targets: Tensor | None) -> Explanation:
    """The relevance of each token for the target's logit."""
    return backward_rollout(relevance, helpful, model, inputs, query, targets)


def relevance(seed: Tensor, layers: Iterable[Layer]) -> Tensor:
    """Chefer, Gur & Wolf 2021, "Generic attention-model explainability", section 3.1.

    R starts as I, and each layer adds (eq. 6) R <- R + E_h((gradient * W)^+) R. Here is seed R, and R is
    never formed.

    Args:
        seed: (B, N), the weighting of final tokens to read R by: one-hot at the class token in the paper.
        layers: Last layer first.

    Returns:
        (B, N), the relevance of each input token, not negative, in units of the score. It includes the seed,
        which R starts from.
    """
    for weights, gradient in layers:
        seed = seed + torch.bmm(seed[:, None], helpful(weights, gradient))[:, 0]
    return seed


def helpful(weights: Tensor, gradient: Tensor) -> Tensor:
    """E_h((gradient * W)^+), the mean over heads of the positive part (Chefer et al. 2021, eq. 5).

    (B, H, N, M) twice -> (B, N, M).
    """
    return (weights * gradient).clamp_(min=0).mean(1)
