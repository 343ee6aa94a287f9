"""Packing: a padded batch (B, N, D) as the T tokens that are no padding, (T, D).

Norms, projections and MLPs act on each token separately, so they need no padding; only attention needs the
batch laid out again.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Positions of the T tokens of a padded batch.

    Args:
        indices: int64 (T,), into the batch flattened to (B N, D).
        batch: B.
        length: N.
    """

    indices: Tensor
    batch: int
    length: int

    def pack(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (T, D)."""
        return tokens.flatten(0, 1)[self.indices]

    def unpack(self, packed: Tensor) -> Tensor:
        """(T, D) -> (B, N, D), zeros at padding."""
        flat = packed.new_zeros(self.batch * self.length, packed.shape[-1])
        return flat.index_copy(0, self.indices, packed).unflatten(0, (self.batch, self.length))


def pack_padding(mask: Tensor | None) -> Packing | None:
    """The packing of a padding mask; None if there is nothing to leave out.

    Args:
        mask: bool (B, N), `True` = a token. A mask with another number of axes, or one without padding, gives
            None. So does every mask under torch.compile and torch.export, where shapes must not depend on
            values.
    """
    if mask is None or mask.ndim != 2 or torch.compiler.is_compiling() or bool(mask.all()):
        return None
    batch, length = mask.shape
    return Packing(mask.flatten().nonzero()[:, 0], batch, length)
