"""Cached keys and values, so that each decoding step computes its new tokens alone."""

from typing import NamedTuple

import torch
from torch import Tensor


class KeyValues:
    """Keys and values of one attention layer, (B, H, M, K) each.

    Args:
        fixed: Whether the source never grows, as in attention to an encoder's states: computed once.
    """

    def __init__(self, *, fixed: bool = False):
        self.fixed = fixed
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def known(self) -> tuple[Tensor, Tensor] | None:
        """The keys and values, if they are fixed and filled; None otherwise."""
        if not self.fixed or self.key is None or self.value is None:
            return None
        return self.key, self.value

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append those of new tokens, and return all: (B, H, M, K) each."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], 2), torch.cat([self.value, value], 2)
        self.key, self.value = key, value
        return key, value

    def keep_rows(self, rows: Tensor) -> None:
        """Select rows of the batch, int64 (B',), for example to drop finished texts."""
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key[rows], self.value[rows]


class LayerCache(NamedTuple):
    """The caches of one block: of self-attention, and of cross-attention."""

    own: KeyValues
    source: KeyValues


def new_cache(depth: int) -> list[LayerCache]:
    """An empty cache of `depth` blocks."""
    return [LayerCache(KeyValues(), KeyValues(fixed=True)) for _ in range(depth)]
