"""One layer's attention weights."""

from collections import deque

from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.heads import fuse_heads
from vit.attribution.passes import ForwardPass
from vit.attribution.query import Query
from vit.core import Tower
from vit.errors import UsageError


def run(
    model: Tower,
    inputs: Tensor,
    query: Query,
    *,
    layer: int = -1,
    head: int | None = None,
    fusion: str = "mean",
) -> Explanation:
    """The row of the query in one layer's weights, of one head or of all of them fused."""
    layer = layer_index(layer, len(model.encoder.blocks))
    forward = ForwardPass(model, inputs)
    recordings = forward.layers()
    for _ in range(layer):
        next(recordings)
    fused = select_heads(next(recordings).weights(), head, fusion)
    deque(recordings, maxlen=0)  # the rest of the model
    return forward.row(query, fused)


def layer_index(layer: int, depth: int) -> int:
    """A layer counted from 0; -1 is the last.

    Raises:
        UsageError: There is no such layer.
    """
    if not -depth <= layer < depth:
        raise UsageError(f"layer is {layer}, expected 0 to {depth - 1}, or -1 for the last")
    return layer % depth


def select_heads(weights: Tensor, head: int | None, fusion: str) -> Tensor:
    """One head of (B, H, N, M), or all of them fused: (B, N, M).

    Raises:
        UsageError: There is no such head or fusion.
    """
    heads = weights.shape[1]
    if head is not None and not 0 <= head < heads:
        raise UsageError(f"head is {head}, expected 0 to {heads - 1}, or none for all of them")
    return fuse_heads(weights if head is None else weights[:, head : head + 1], fusion)
