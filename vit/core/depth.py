"""Stochastic depth."""

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Skips a branch for some samples while training (Huang et al. 2016).

    It draws as `torchvision.ops.StochasticDepth` in its mode `row` does, whose import takes a second.

    Args:
        rate: Probability that the branch of a sample is zero; the others are divided by 1 - rate.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.p = rate

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training or self.p == 0.0:
            return tokens
        kept = torch.empty((len(tokens), *[1] * (tokens.ndim - 1)), dtype=tokens.dtype, device=tokens.device)
        kept.bernoulli_(1 - self.p)
        return tokens * (kept if self.p == 1.0 else kept.div_(1 - self.p))

    def extra_repr(self) -> str:
        """See `torch.nn.Module`."""
        return f"p={self.p}, mode=row"
