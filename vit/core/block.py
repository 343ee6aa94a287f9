"""One transformer block and its parts."""

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from vit.core.attention import Attention


class Mlp(nn.Module):
    """Linear, GELU, linear, on each token by itself: (B, N, D) -> (B, N, D).

    Args:
        width: D.
        hidden: Width between the two.
        bias: Bias on both.
        dropout: After each linear while training.
    """

    def __init__(self, width: int, hidden: int, *, bias: bool = True, dropout: float = 0.0):
        super().__init__()
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.activation = nn.GELU()
        self.contract = nn.Linear(hidden, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        hidden = self.dropout(self.activation(self.expand(tokens)))
        return self.dropout(self.contract(hidden))


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (Touvron et al. 2021, "Going deeper", section 2).

    Args:
        width: D.
        initial: Value of every factor at the start.
    """

    def __init__(self, width: int, initial: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), initial))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return tokens * self.factor


class Block(nn.Module):
    """Pre-norm block: attention, then MLP, each added to what came in (Dosovitskiy et al. 2021, eq. 2 and 3).

    Args:
        width: D.
        heads: H.
        hidden: Hidden width of the MLP.
        qkv_bias: Bias on the query, key and value projections.
        output_bias: Bias on the other projections.
        qk_norm: LayerNorm on queries and keys.
        layer_scale: Initial value of LayerScale on both branches; None is none.
        drop_path: Probability that a branch is skipped for a picture while training (Huang et al. 2016).
        dropout: Dropout of the branches' outputs while training.
        norm_eps: Epsilon of the norms.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        qkv_bias: bool = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=norm_eps)
        self.attention = Attention(
            width, heads, qkv_bias=qkv_bias, output_bias=output_bias, qk_norm=qk_norm, norm_eps=norm_eps
        )
        self.attention_scale = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.mlp_norm = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, hidden, bias=output_bias, dropout=dropout)
        self.mlp_scale = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, D), mask as in `Attention.forward` -> (B, N, D)."""
        attended = self.dropout(self.attention(self.attention_norm(tokens), mask=mask))
        tokens = tokens + self.drop_path(self.attention_scale(attended))
        return tokens + self.drop_path(self.mlp_scale(self.mlp(self.mlp_norm(tokens))))
