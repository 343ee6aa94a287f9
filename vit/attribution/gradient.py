"""Class-specific methods: attention weights and the gradient of a class's score by them.

Every function streams: it takes the layers one at a time and keeps a vector for each picture. Where layers
are multiplied they come last layer first, the order in which a backward pass has them: from the left, the
product with a row vector costs N^2 a layer where the product of matrices would cost N^3.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.attribution.rollout import discard_weakest, with_residual

Layer = tuple[Tensor, Tensor]  # a layer's weights and the score's gradient by them, (B, H, N, N) each


def weights_gradient(mixed_gradient: Tensor, values: Tensor) -> Tensor:
    """A score's gradient by the weights W, from its gradient by the mixed values: mixed = W V.

    So one backward pass to the mixed values serves, and W itself need not be in the graph.

    Args:
        mixed_gradient: (B, H, N, K)
        values: (B, H, M, K)

    Returns:
        (B, H, N, M), at least float32.
    """
    dtype = torch.promote_types(values.dtype, torch.float32)
    return mixed_gradient.to(dtype) @ values.to(dtype).transpose(-2, -1)


def helpful(weights: Tensor, gradient: Tensor) -> Tensor:
    """E_h((gradient * W)^+), the mean over heads of what raised the score (Chefer et al. 2021, eq. 5).

    (B, H, N, M) twice -> (B, N, M).
    """
    return (weights * gradient).clamp_(min=0).mean(1)


def weighted(weights: Tensor, gradient: Tensor) -> Tensor:
    """(E_h(gradient * W))^+, the mean over heads, its negative entries set to zero (Gildenblat 2020).

    (B, H, N, M) twice -> (B, N, M).
    """
    return (weights * gradient).mean(1).clamp_(min=0)


def relevance(seed: Tensor, layers: Iterable[Layer]) -> Tensor:
    """Chefer, Gur & Wolf 2021, "Generic attention-model explainability", section 3.1.

    R starts as I, and each layer adds (eq. 6) R <- R + E_h((gradient * W)^+) R. Here is seed R, and R is
    never formed.

    Args:
        seed: (B, N), the weighting of final tokens to read R by: one-hot at the class token in the paper.
        layers: Last layer first.

    Returns:
        (B, N), the relevance of each input token, not negative, in units of the score; the part that R
        starts with, the seed itself, is in it.
    """
    for weights, gradient in layers:
        seed = seed + torch.bmm(seed[:, None], helpful(weights, gradient))[:, 0]
    return seed


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


def legrad(gradients: Iterable[Tensor]) -> Tensor:
    """LeGrad (Bousselham et al. 2024, "LeGrad: an explainability method for vision transformers", section 3).

    Each layer has a score of its own: what the head makes of that layer's tokens. Its gradient by the
    layer's own weights, negative entries set to zero, is meaned over heads and queries, and then over layers.

    Args:
        gradients: (B, H, N, M) for each layer, of that layer's score by that layer's weights; N queries.

    Returns:
        (B, M), not negative. The paper stretches the patches' part over [0, 1]; that is left to who draws.

    Raises:
        ValueError: No layer.
    """
    total: Tensor | None = None
    depth = 0
    for gradient in gradients:
        layer = gradient.clamp(min=0).mean((1, 2))
        total = layer if total is None else total + layer
        depth += 1
    if total is None:
        raise ValueError("legrad got no layers: record the attention of a whole forward pass")
    return total / depth
