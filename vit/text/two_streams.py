"""Two streams through one encoder: one of tokens, and one that predicts tokens without reading them."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vit.text.places import relations_between
from vit.text.tower import TextTransformer


class Streams(NamedTuple):
    """Final states of both streams (Yang et al. 2019, "XLNet", section 2.3).

    Args:
        content: (B, N, D), of the tokens.
        query: (B, T, D), of the positions that are predicted.
    """

    content: Tensor
    query: Tensor


def two_streams(
    model: TextTransformer,
    ids: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    *,
    visible: Tensor | None = None,
    segments: Tensor | None = None,
) -> Streams:
    """States of tokens, and of predictions at `targets`, which attend to the tokens and not to themselves.

    In each block a prediction attends to what the block's tokens are before it. A token always attends to
    itself. The logits are `model.head(streams.query)`. A recorded tape holds the attention of the query
    stream, (B, H, T, N).

    Args:
        model: With `query_token`, and without a pooler that a head reads.
        ids: int64 (B, N).
        targets: int64 (B, T), the positions to predict. Each is predicted by itself.
        mask: bool (B, N), `True` = a token, `False` = padding; None: as `model.mask` says.
        visible: bool (B, N, N), whether a position (second axis) attends to a token (third): an order of
            prediction. A position that attends to nothing gets zeros from attention. None: tokens that are
            not predicted.
        segments: As in `TextTransformer.encode`.

    Raises:
        ValueError: A model without `query_token`, or arguments whose shapes do not fit; or as `encode`.
    """
    if model.query_token is None:
        raise ValueError("the model has query_token None, expected one: it predicts no tokens by position")
    mask = model.mask(ids) if mask is None else mask
    tokens = model.embed(ids, mask, segments=segments)
    places = torch.arange(ids.shape[1], device=ids.device)[None]
    itself = places[:, :, None] == places[:, None, :]  # (1, N, N)
    if visible is None:
        visible = (places[..., None] != targets[:, None, :]).all(-1)[:, None].expand(-1, ids.shape[1], -1)
    _require_shapes(ids, targets, visible)
    visible = visible & mask[:, None, :]

    depth = len(model.encoder.blocks)
    between = partial(relations_between, model.relative, causal=model.causal, depth=depth)
    of_content = between(places, places, segments)
    layers = model.encoder.layers(tokens, (visible | itself)[:, None], relations=of_content)
    contents = [tokens, *layers]

    rows = visible.gather(1, targets[:, :, None].expand(-1, -1, ids.shape[1]))  # (B, T, N)
    of_queries = between(targets, places, segments)
    query = model.dropout(model.query_token.expand(*targets.shape, -1))
    layers = model.encoder.layers(query, rows[:, None], relations=of_queries, contexts=contents[:-1])
    queries = [query, *layers]
    return Streams(model.encoder.norm(contents[-1]), model.encoder.norm(queries[-1]))


def _require_shapes(ids: Tensor, targets: Tensor, visible: Tensor) -> None:
    batch, length = ids.shape
    if targets.ndim != 2 or len(targets) != batch:
        raise ValueError(f"targets have shape {tuple(targets.shape)}, expected ({batch}, T): positions")
    if visible.shape != (batch, length, length):
        raise ValueError(
            f"visible has shape {tuple(visible.shape)}, expected ({batch}, {length}, {length}): pairs"
        )
