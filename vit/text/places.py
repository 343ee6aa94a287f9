"""What the attention of a text tower knows of the positions of its tokens."""

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
    model: Any, queries: Tensor, keys: Tensor, segments: Tensor | None = None
) -> Sequence[Relation] | None:
    """What each layer of a text tower knows of these positions; None: nothing.

    Args:
        model: The tower, with `relative` and `causal`.
        queries: Positions of queries, int64 (B or 1, N).
        keys: Positions of keys, int64 (B or 1, M).
        segments: Of the keys, int64 (B, M), for relative positions that read them; None: all in one.
    """
    relations = None
    if model.relative is not None and segments is not None and reads_segments(model.relative):
        of_queries = segments.gather(1, queries.expand(len(segments), -1))
        relations = model.relative(queries, keys, (of_queries, segments))
    elif model.relative is not None:
        relations = model.relative(queries, keys)
    if not model.causal:
        return relations
    return with_mask(relations, causal_mask(queries, keys), len(model.encoder.blocks))


def last_and_all(ids: Tensor, total: int | None) -> tuple[Tensor, Tensor]:
    """Positions of ids (B, N), the last of `total`, and of all: int64 (1, N) and (1, M)."""
    keys = torch.arange(ids.shape[1] if total is None else total, device=ids.device)[None]
    return keys[:, -ids.shape[1] :], keys
