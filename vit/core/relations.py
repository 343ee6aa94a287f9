"""Rotations, biases and masks of attention by the positions of queries and keys."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Turns each pair of channels (i, i + K/2) of a head by an angle (Su et al. 2021, section 3.2.2).

    Args:
        cos: Of the angles, (B or 1, H or 1, N, K/2); 1 at tokens without a position.
        sin: Likewise; 0 there.
    """

    cos: Tensor
    sin: Tensor

    def __call__(self, heads: Tensor) -> Tensor:
        """(B, H, N, K) -> (B, H, N, K), in the same dtype."""
        first, second = heads.chunk(2, -1)
        turned = [first * self.cos - second * self.sin, second * self.cos + first * self.sin]
        return torch.cat(turned, -1).to(heads.dtype)


class Relation(NamedTuple):
    """Rotation, bias and mask of one attention layer by position; by default none.

    Args:
        rotation: Of queries and keys.
        bias: Added to the scores: (B or 1, H or 1, N, M), or a function that computes it from the queries
            (B, H, N, K).
        mask: bool, (B or 1, H or 1, N, M), `True` = may be attended to: causality, windows.
    """

    rotation: Rotation | None = None
    bias: Tensor | Callable[[Tensor], Tensor] | None = None
    mask: Tensor | None = None


def join_masks(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """What both allow; None stands for everything."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def with_mask(relations: Sequence[Relation] | None, mask: Tensor, depth: int) -> list[Relation]:
    """The relations of `depth` layers with `mask` ANDed into each; None counts as no relations."""
    every = [Relation()] * depth if relations is None else relations
    return [relation._replace(mask=join_masks(relation.mask, mask)) for relation in every]


def causal_mask(queries: Tensor, keys: Tensor) -> Tensor:
    """A token may attend to itself and to those before it.

    Args:
        queries: Positions, int64 (B or 1, N).
        keys: Positions, int64 (B or 1, M).

    Returns:
        bool (B or 1, 1, N, M)
    """
    return (keys[:, None, :] <= queries[:, :, None])[:, None]


def window_mask(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """A token may attend to those at most `window` positions away, on both sides; shapes as `causal_mask`."""
    return ((keys[:, None, :] - queries[:, :, None]).abs() <= window)[:, None]
