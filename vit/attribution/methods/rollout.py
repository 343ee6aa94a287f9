"""Attention rollout: the attention of all layers multiplied (Abnar & Zuidema 2020, section 3).

Other head fusions than the mean, and discarding, are from Gildenblat ("Exploring explainability for vision
transformers", 2020).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.heads import fuse_heads
from vit.attribution.passes import ForwardPass
from vit.attribution.query import Query
from vit.core import Recording, Tower
from vit.errors import UsageError


def run(
    model: Tower, inputs: Tensor, query: Query, *, fusion: str = "mean", discard: float = 0.0
) -> Explanation:
    """The row of the query in the rollout of all layers."""
    forward = ForwardPass(model, inputs)
    layers = map(Recording.weights, forward.layers())  # a loop variable would keep a layer alive
    return forward.row(query, rollout(layers, fusion=fusion, discard=discard, prefix=model.prefix))


def rollout(
    layers: Iterable[Tensor], *, fusion: str = "mean", discard: float = 0.0, prefix: int = 0
) -> Tensor:
    """The product of all layers' attention, each mixed with its residual connection.

    With W a layer's weights, heads fused and the weakest discarded, A is W + I with rows that sum to 1, and
    the result is A_L ... A_2 A_1: what each final token drew from each input token. Every row sums to 1.

    Args:
        layers: The weights in order, first layer first, each (B, H, N, N). A generator keeps the memory at
            one layer's weights and one matrix per sample.
        fusion: How heads are fused, a name in `vit.attribution.heads.FUSIONS`.
        discard: Share of the smallest patch-to-patch weights set to zero in each layer, per sample.
        prefix: Number of tokens before the patches; their weights are never discarded.

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


def discard_weakest(fused: Tensor, share: float, prefix: int) -> Tensor:
    """Set the smallest patch-to-patch weights of each sample to zero.

    Weights from and to prefix tokens are kept, so that the class token's row is never emptied.

    Args:
        fused: (B, N, N)
        share: Share of each sample's patch-to-patch entries set to zero, in [0, 1).
        prefix: Number of tokens before the patches.

    Returns:
        (B, N, N); `fused` itself where nothing is discarded.

    Raises:
        UsageError: A share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise UsageError(f"discard is {share}, expected a share from 0 up to 1")
    between = fused[:, prefix:, prefix:]
    entries = between.flatten(1)
    count = int(share * entries.shape[1] + 1e-9)  # 0.3 * 10 is 2.9999999999999996
    if not count:
        return fused
    weakest = entries.topk(count, dim=1, largest=False).indices
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
