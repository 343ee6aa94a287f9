"""Augmentation of token ids."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vit.data.randomness import uniforms


class TokenMasking(nn.Module):
    """Word dropout (Iyyer et al. 2015): tokens replaced by the mask token, at random.

    Args:
        seed: The run's seed.
        probability: Of each token, to be replaced.
        mask_id: The id that replaces it.
        keep: Ids that are never replaced, such as padding and special tokens.
    """

    def __init__(self, seed: int, probability: float, mask_id: int, keep: Sequence[int]):
        super().__init__()
        self.seed, self.probability, self.mask_id = seed, probability, mask_id
        self.keep: Tensor
        self.register_buffer("keep", torch.tensor(list(keep)), persistent=False)

    def forward(self, ids: Tensor, indices: Tensor, epoch: int | Tensor) -> Tensor:
        """int64 (B, N) and indices (B,) -> ids, int64 (B, N); a function of (seed, epoch, index)."""
        if not self.probability:
            return ids
        u = uniforms(self.seed, epoch, indices.to(ids.device), ids.shape[1])
        masked = (u < self.probability) & ~torch.isin(ids, self.keep.to(ids.device))
        return ids.masked_fill(masked, self.mask_id)
