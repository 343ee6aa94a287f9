"""A score's gradient by attention weights.

Methods that multiply layers take them last layer first, the order of a backward pass: a row vector times a
matrix costs N^2 per layer where a product of matrices would cost N^3.
"""

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]  # a layer's weights and the score's gradient by them, (B, H, N, N) each


def weights_gradient(mixed_gradient: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """A score's gradient by the weights W, from its gradient by the mixed values, mixed = W V.

    One backward pass to the mixed values is enough: W itself is not in the graph.

    Args:
        mixed_gradient: (B, H, N, K)
        values: (B, H, M, K)
        mask: bool, broadcastable to (B, H, N, M), `True` = may be attended to; None: everything.

    Returns:
        (B, H, N, M), at least float32; zero where the mask allows nothing, as no weight can grow there.
    """
    dtype = torch.promote_types(values.dtype, torch.float32)
    gradient = mixed_gradient.to(dtype) @ values.to(dtype).transpose(-2, -1)
    return gradient if mask is None else gradient.masked_fill(~mask, 0.0)
