"""Attention rollout (Abnar & Zuidema 2020, "Quantifying attention flow in transformers", section 3)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def rollout(layers: Iterable[Tensor]) -> Tensor:
    """Multiply the attention of all layers, each mixed half and half with its residual connection.

    With W the weights of a layer averaged over heads, A = 0.5 W + 0.5 I (the paper's equation below
    figure 3), and the result is A_L ... A_2 A_1: what each final token drew from each input token. Every row
    sums to 1, because every A does.

    Args:
        layers: The weights in order, first layer first, each (B, H, N, N) with rows that sum to 1. A
            generator keeps the memory at one layer's weights.

    Returns:
        (B, N, N), in the dtype of the weights.

    Raises:
        ValueError: No layer, or one that is not (B, H, N, N).
    """
    joint: Tensor | None = None
    for weights in layers:
        if weights.ndim != 4 or weights.shape[-1] != weights.shape[-2]:
            raise ValueError(f"attention has shape {tuple(weights.shape)}, expected (B, H, N, N)")
        mixed = weights.mean(1) / 2
        mixed.diagonal(dim1=-2, dim2=-1).add_(0.5)
        joint = mixed if joint is None else torch.bmm(mixed, joint)
    if joint is None:
        raise ValueError("rollout got no layers: record the attention of a whole forward pass")
    return joint
