"""From tokens to the one vector that the head reads.

`prefix` counts the tokens before the patches. `mask`, bool (B, N), says which tokens are there at all; None
is all of them.
"""

import torch
from torch import Tensor, nn

from vit.core.attention import Attention
from vit.core.block import Mlp


class ClassPool(nn.Module):
    """The class token, the first that is there: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        if mask is None:
            return tokens[:, 0]
        first = mask.int().argmax(1)  # padding may stand on the left
        return tokens[torch.arange(len(tokens), device=tokens.device), first]


class ClassMeanPool(nn.Module):
    """The class token beside the mean of the patches, as DINOv2's classifiers read them."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, 2 D)."""
        return torch.cat([tokens[:, 0], mean_after(prefix, tokens, mask)], -1)


class MeanPool(nn.Module):
    """The mean of the tokens after the prefix: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return mean_after(prefix, tokens, mask)


def mean_after(prefix: int, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the tokens after the prefix that are there, (B, N, D) -> (B, D); zeros where none is."""
    if mask is None:
        return tokens[:, prefix:].mean(1)
    there = mask[:, prefix:, None].to(tokens.dtype)
    return (tokens[:, prefix:] * there).sum(1) / there.sum(1).clamp(min=1)


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

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        query = self.query.expand(len(tokens), -1, -1)
        there = None if mask is None else mask[:, prefix:]
        pooled = self.attention(query, tokens[:, prefix:], there)  # (B, 1, D)
        pooled = pooled + self.mlp(self.mlp_norm(pooled))
        return pooled[:, 0]


def make_pool(kind: str, width: int, heads: int, *, mlp_ratio: float, norm_eps: float) -> nn.Module:
    """The pool of that name: `cls`, `mean`, `cls_mean` or `attention`.

    Raises:
        ValueError: Another name.
    """
    if kind == "attention":
        return AttentionPool(width, heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps)
    plain = {"cls": ClassPool, "mean": MeanPool, "cls_mean": ClassMeanPool}
    if kind not in plain:
        raise ValueError(f"pool is {kind!r}, expected 'cls', 'mean', 'cls_mean' or 'attention'")
    return plain[kind]()
