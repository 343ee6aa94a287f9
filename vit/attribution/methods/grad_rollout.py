"""Rollout of attention weighted by its gradient (Gildenblat 2020, "gradient attention rollout")."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.gradient import Layer
from vit.attribution.methods.rollout import discard_weakest, with_residual
from vit.attribution.passes import backward_rollout
from vit.attribution.query import Query
from vit.core import Tower


def run(
    model: Tower, inputs: Tensor, query: Query, targets: Tensor | None, *, discard: float = 0.0
) -> Explanation:
    """The row of the query in the rollout of gradient times attention."""

    def share(weights: Tensor, gradient: Tensor) -> Tensor:
        fused = weighted(weights, gradient)
        return fused / fused.sum(-1, keepdim=True).clamp(min=torch.finfo(fused.dtype).tiny)

    product = partial(grad_rollout, discard=discard, prefix=model.prefix)
    return backward_rollout(product, share, model, inputs, query, targets)


def grad_rollout(seed: Tensor, layers: Iterable[Layer], *, discard: float = 0.0, prefix: int = 0) -> Tensor:
    """Rollout of attention weighted by its gradient (Gildenblat 2020, "gradient attention rollout").

    A layer's matrix is the mean over heads of gradient * W, negative entries set to zero, the weakest
    discarded; W + I with rows that sum to 1; multiplied as in `rollout`.

    Args:
        seed: (B, N), the weighting of final tokens whose row is asked for.
        layers: Last layer first.
        discard: As in `rollout`.
        prefix: Number of tokens before the patches.

    Returns:
        (B, N); rows sum to what the seed sums to.
    """
    for weights, gradient in layers:
        mixed = with_residual(discard_weakest(weighted(weights, gradient), discard, prefix))
        seed = torch.bmm(seed[:, None], mixed)[:, 0]
    return seed


def weighted(weights: Tensor, gradient: Tensor) -> Tensor:
    """(E_h(gradient * W))^+, the mean over heads, its negative entries set to zero (Gildenblat 2020).

    (B, H, N, M) twice -> (B, N, M).
    """
    return (weights * gradient).mean(1).clamp_(min=0)
