"""Leaving padding out: what is done to each token by itself is done to those that are there alone."""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Where the T tokens that are there stand in a batch (B, N).

    Args:
        places: int64 (T,), in the batch laid out flat.
        batch: B.
        length: N.
    """

    places: Tensor
    batch: int
    length: int

    def pack(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (T, D)."""
        return tokens.flatten(0, 1)[self.places]

    def unpack(self, packed: Tensor) -> Tensor:
        """(T, D) -> (B, N, D), zeros where no token is."""
        flat = packed.new_zeros(self.batch * self.length, packed.shape[-1])
        return flat.index_copy(0, self.places, packed).unflatten(0, (self.batch, self.length))


def packing_of(mask: Tensor) -> Packing:
    """bool (B, N), True = a token that is there -> where they are."""
    return Packing(mask.flatten().nonzero()[:, 0], *mask.shape)


def worth_packing(mask: Tensor | None) -> bool:
    """Whether a mask is one of padding, (B, N), and hides something.

    Never under torch.compile and torch.export, for which shapes must not follow from values.
    """
    if mask is None or mask.ndim != 2 or torch.compiler.is_compiling():
        return False
    return not bool(mask.all())
