"""The attention that one page holds: all of it, or of many tokens what fits a file of about 15 MB."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vit.attribution.heads import fuse_heads
from vit.attribution.methods.rollout import rollout

ENTRIES = 10_500_000  # weights of a page: a byte each, before base64


@dataclass(frozen=True)
class Fitted:
    """Weights that fit a page.

    Args:
        weights: Layers of (H, N, N), or with heads fused (1, N, N).
        layers: Their indices.
        rollout: (N, N) over all layers, which the page cannot compute from these; None where it can.
        left_out: A sentence on what is missing; empty where nothing is.
    """

    weights: list[Tensor]
    layers: list[int]
    rollout: Tensor | None = None
    left_out: str = ""


def fitted(
    weights: Sequence[Tensor],
    prefix: int,
    *,
    layer: int | None = None,
    fusion: str = "mean",
    discard: float = 0,
) -> Fitted:
    """All weights if they are at most `ENTRIES`; otherwise the rollout and the last layers with heads fused.

    Args:
        weights: L layers, each (H, N, N).
        prefix: Number of tokens before the patches.
        layer: A layer that has to be there.
        fusion: Of the heads.
        discard: Of the rollout.
    """
    count, (heads, tokens, _) = len(weights), weights[0].shape
    if count * heads * tokens**2 <= ENTRIES:
        return Fitted(list(weights), list(range(count)))
    room = min(count, max(1, ENTRIES // tokens**2 - 1))  # the rollout takes the place of one layer
    kept = list(range(count - room, count))
    if layer is not None and layer not in kept:
        kept[0] = layer
    joint = rollout((each[None] for each in weights), fusion=fusion, discard=discard, prefix=prefix)[0]
    less = f", with {100 * discard:.0f} % discarded" if discard else ""
    return Fitted(
        [fuse_heads(weights[index][None], fusion) for index in kept],
        kept,
        joint,
        f"To keep the file small, heads are shown together ({fusion}), of {room} of {count} layers; the "
        f"rollout is over all {count}{less}. All weights of {tokens:,} tokens would take "
        f"{count * heads * tokens**2 / 0.75e6:,.0f} MB.",
    )
