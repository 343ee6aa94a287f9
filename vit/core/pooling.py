"""From tokens to the one vector that the head reads. `prefix` counts the tokens before the patches."""

import torch
from torch import Tensor, nn

from vit.core.attention import Attention
from vit.core.block import Mlp


class ClassPool(nn.Module):
    """The class token, which is the first: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return tokens[:, 0]


class MeanPool(nn.Module):
    """The mean of the tokens after the prefix: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return tokens[:, prefix:].mean(1)


class AttentionPool(nn.Module):
    """A learned query attends to the tokens after the prefix (Zhai et al. 2022, section 3.2, "MAP head").

    Args:
        width: D.
        heads: H.
        mlp_ratio: Hidden width of the MLP over D.
        norm_eps: Epsilon of its norm.
    """

    def __init__(self, width: int, heads: int, *, mlp_ratio: float = 4.0, norm_eps: float = 1e-6):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, round(width * mlp_ratio))
        nn.init.trunc_normal_(self.query, std=width**-0.5)

    def forward(self, tokens: Tensor, prefix: int) -> Tensor:
        """(B, N, D) -> (B, D)."""
        query = self.query.expand(len(tokens), -1, -1)
        pooled = self.attention(query, tokens[:, prefix:])  # (B, 1, D)
        pooled = pooled + self.mlp(self.mlp_norm(pooled))
        return pooled[:, 0]
