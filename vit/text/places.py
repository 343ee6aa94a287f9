"""What the attention of a stack of text tokens knows of their positions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vit.core import Relation
from vit.core.relations import causal_mask, with_mask


def reads_segments(relative: Any) -> bool:
    """Whether relative positions, in place of an embedding, read segments."""
    return getattr(relative, "reads_segments", False)


def relations_between(
    relative: Any,
    queries: Tensor,
    keys: Tensor,
    segments: Tensor | None = None,
    *,
    causal: bool,
    depth: int,
) -> Sequence[Relation] | None:
    """What each layer of a stack knows of these positions; None: nothing.

    Args:
        relative: The stack's relative positions (`vit.positions.SEQUENCES`), or None.
        queries: Positions of queries, int64 (B or 1, N).
        keys: Positions of keys, int64 (B or 1, M).
        segments: Of the keys, int64 (B, M), for relative positions that read them; None: all in one.
        causal: Whether a token attends to itself and to those before it alone.
        depth: L.
    """
    relations = None
    if relative is not None and segments is not None and reads_segments(relative):
        of_queries = segments.gather(1, queries.expand(segments.shape[0], -1))
        relations = relative(queries, keys, (of_queries, segments))
    elif relative is not None:
        relations = relative(queries, keys)
    return with_mask(relations, causal_mask(queries, keys), depth) if causal else relations


def last_and_all(ids: Tensor, total: int | None = None) -> tuple[Tensor, Tensor]:
    """Positions of ids (B, N), the last of `total` (None: N), and of all: int64 (1, N) and (1, M)."""
    keys = torch.arange(ids.shape[1] if total is None else total, device=ids.device)[None]
    return keys[:, -ids.shape[1] :], keys
