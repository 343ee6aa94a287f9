"""A convolution over neighbouring tokens."""

from torch import Tensor, nn
from torch.nn.functional import gelu

from vit.core import BlockSpec


class Neighbours(nn.Module):
    """A residual convolution over neighbouring tokens, before the first block.

    The counterpart of a convolutional tokenizer for images: a model trained from scratch need not learn word
    order by attention first (Hassani et al. 2021, whose compact transformers also read texts).

    Args:
        width: D.
        size: Kernel size in tokens, an odd number.
        norm: The norm before it.
        dropout: Dropout rate of the convolution's output.

    Raises:
        ValueError: An even size, or one below 1.
    """

    def __init__(self, width: int, size: int, norm: nn.Module, *, dropout: float = 0.0):
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"neighbours is {size}, expected an odd number of tokens")
        self.norm = norm
        self.conv = nn.Conv1d(width, width, size, padding=size // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and bool (B, N) -> (B, N, D). Padding, where the mask is `False`, is read as zeros."""
        present = self.norm(tokens) * mask[..., None]
        mixed = self.conv(present.transpose(1, 2)).transpose(1, 2)
        return tokens + self.dropout(gelu(mixed))


def make_neighbours(size: int, block: BlockSpec) -> Neighbours | None:
    """A convolution over `size` tokens, with the norm and dropout of the blocks; None for 1."""
    if size == 1:
        return None
    return Neighbours(block.width, size, block.make_norm(), dropout=block.dropout)
