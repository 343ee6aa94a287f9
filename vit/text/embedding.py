"""From ids to the input of the first block: embeddings of tokens, segments and positions."""

from typing import Any

from torch import Tensor

from vit.text.matching import require_ids
from vit.text.places import reads_segments


def embed_ids(model: Any, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Tensor:
    """(B, N, D), as `TextTransformer.embed`.

    Args:
        model: The tower, with its embeddings.
        ids: int64 (B, N).
        mask: bool (B, M), the last N of which are these ids.
        segments: int64 (B, N), or None.

    Raises:
        ValueError: Ids of another shape, or more of them than positions; segments where there are none.
    """
    require_ids(ids, model.length)
    tokens = model.token_embedding(ids)
    if model.segments is not None:
        tokens = tokens + (model.segments.weight[0] if segments is None else model.segments(segments))
    elif segments is not None and not reads_segments(model.relative):
        raise ValueError("segments are given, and this model has no segment embeddings: leave them out")
    if model.positions is not None:
        tokens = model.positions(tokens, _position_ids(model, ids, mask))
    tokens = model.dropout(model.embedding_norm(tokens))
    if model.widen is not None:
        tokens = model.widen(tokens)
    return tokens if model.neighbours is None else model.neighbours(tokens, mask)


def _position_ids(model: Any, ids: Tensor, mask: Tensor) -> Tensor | None:
    """The row of the table of positions for each token, int64 (B, N); None: 0, 1, 2, ..."""
    if model.count_from is not None:
        present = ids != model.padding  # wherever it stands, as in transformers
        return present.cumsum(1) * present + model.count_from
    if not model.skip_padding:
        return None
    counted = (mask.cumsum(1) - 1).clamp(min=0)
    return counted[:, -ids.shape[1] :]
