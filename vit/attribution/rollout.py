"""Attention as it stands, and multiplied through the layers.

Rollout is Abnar & Zuidema 2020, "Quantifying attention flow in transformers", section 3. Choosing another
fusion than the mean, and discarding, are Gildenblat's additions ("Exploring explainability for vision
transformers", 2020).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.errors import UsageError

FUSIONS = ("mean", "max", "min")


def fuse_heads(weights: Tensor, fusion: str = "mean") -> Tensor:
    """One matrix from all heads: (B, H, N, M) -> (B, N, M), their `mean`, `max` or `min`.

    Raises:
        UsageError: Another fusion.
    """
    if fusion == "mean":
        return weights.mean(1)
    if fusion == "max":
        return weights.amax(1)
    if fusion == "min":
        return weights.amin(1)
    raise UsageError(f"fusion is {fusion!r}, expected one of: {', '.join(FUSIONS)}")


def discard_weakest(fused: Tensor, share: float, prefix: int) -> Tensor:
    """Set the weakest links between patches to zero, in each picture for itself.

    Links from and to prefix tokens stay whatever their weight, so that no class token loses its row.

    Args:
        fused: (B, N, N)
        share: Part of each picture's patch-to-patch entries that goes, from 0 up to 1.
        prefix: Number of tokens before the patches.

    Returns:
        (B, N, N); `fused` itself where nothing is to go.

    Raises:
        UsageError: A share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise UsageError(f"discard is {share}, expected a share from 0 up to 1")
    between = fused[:, prefix:, prefix:]
    entries = between.flatten(1)
    gone = int(share * entries.shape[1] + 1e-9)  # 0.3 * 10 is 2.9999999999999996
    if not gone:
        return fused
    weakest = entries.topk(gone, dim=1, largest=False).indices
    kept = fused.clone()
    kept[:, prefix:, prefix:] = entries.scatter(1, weakest, 0.0).view_as(between)
    return kept


def with_residual(fused: Tensor) -> Tensor:
    """W + I with each row divided by its sum: attention mixed with its residual connection, (B, N, N).

    For rows of W that sum to 1 this is (W + I) / 2, the paper's equation below figure 3.
    """
    mixed = fused.clone()
    mixed.diagonal(dim1=-2, dim2=-1).add_(1)
    return mixed.div_(mixed.sum(-1, keepdim=True))


def rollout(
    layers: Iterable[Tensor], *, fusion: str = "mean", discard: float = 0.0, prefix: int = 0
) -> Tensor:
    """Multiply the attention of all layers, each mixed with its residual connection.

    With W a layer's weights, heads fused and the weakest discarded, A is W + I with rows that sum to 1, and
    the result is A_L ... A_2 A_1: what each final token drew from each input token. Every row sums to 1.

    Args:
        layers: The weights in order, first layer first, each (B, H, N, N). A generator keeps the memory at
            one layer's weights and one matrix for each picture.
        fusion: `mean`, `max` or `min` over heads.
        discard: Share of the weakest patch-to-patch links set to zero in each layer, per picture.
        prefix: Number of tokens before the patches; their links are never discarded.

    Returns:
        (B, N, N), in the dtype of the weights.

    Raises:
        ValueError: No layer, or one that is not (B, H, N, N).
        UsageError: An unknown fusion, or a discard outside [0, 1).
    """
    joint: Tensor | None = None
    for weights in layers:
        if weights.ndim != 4 or weights.shape[-1] != weights.shape[-2]:
            raise ValueError(f"attention has shape {tuple(weights.shape)}, expected (B, H, N, N)")
        fused = discard_weakest(fuse_heads(weights, fusion), discard, prefix)
        del weights  # while the next layer runs, nothing but `joint` is alive
        mixed = with_residual(fused)
        joint = mixed if joint is None else torch.bmm(mixed, joint)
        del fused, mixed
    if joint is None:
        raise ValueError("rollout got no layers: record the attention of a whole forward pass")
    return joint
