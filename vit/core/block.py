"""One transformer block and its parts."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from vit.core.attention import Attention
from vit.core.packing import Packing


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x), which CLIP was trained with (Hendrycks & Gimpel 2016, section 2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "quick_gelu": QuickGelu,
    "relu": nn.ReLU,
}


class Mlp(nn.Module):
    """Linear, activation, linear, on each token by itself: (B, N, D) -> (B, N, D).

    Args:
        width: D.
        hidden: Width between the two.
        activation: `gelu` (exact), `gelu_tanh`, `quick_gelu` or `relu`.
        bias: Bias on both.
        dropout: After each linear while training.

    Raises:
        ValueError: Another activation.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        activation: str = "gelu",
        bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}, expected one of: {', '.join(ACTIVATIONS)}")
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.activation = ACTIVATIONS[activation]()
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
    """Attention, then MLP, each added to what came in.

    Each of the two has a slot for a norm on its input and one for a norm on the sum; the slots that are not
    used hold an identity. `pre`: on the inputs, so that the sums flow through untouched (Dosovitskiy et al.
    2021, eq. 2 and 3). `post`: on the sums (Vaswani et al. 2017, section 3.1; BERT).

    Args:
        width: D.
        heads: H.
        hidden: Hidden width of the MLP.
        norm: Where the norms stand, `pre` or `post`.
        activation: Of the MLP.
        qkv_bias: As in `Attention`.
        output_bias: Bias on the other projections.
        qk_norm: LayerNorm on queries and keys.
        layer_scale: Initial value of LayerScale on both branches; None is none.
        drop_path: Probability that a branch is skipped for a picture while training (Huang et al. 2016).
        dropout: Dropout of the branches' outputs while training.
        norm_eps: Epsilon of the norms.

    Raises:
        ValueError: Another place of the norms, or another activation.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        norm: str = "pre",
        activation: str = "gelu",
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is {norm!r}, expected 'pre' or 'post'")

        def slot(used: bool) -> nn.Module:
            return nn.LayerNorm(width, eps=norm_eps) if used else nn.Identity()

        self.attention_norm = slot(norm == "pre")
        self.attention = Attention(
            width, heads, qkv_bias=qkv_bias, output_bias=output_bias, qk_norm=qk_norm, norm_eps=norm_eps
        )
        self.attention_scale = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.attention_post_norm = slot(norm == "post")
        self.mlp_norm = slot(norm == "pre")
        self.mlp = Mlp(width, hidden, activation=activation, bias=output_bias, dropout=dropout)
        self.mlp_scale = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.mlp_post_norm = slot(norm == "post")
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, tokens: Tensor, mask: Tensor | None = None, packing: Packing | None = None) -> Tensor:
        """(B, N, D), or packed (T, D) -> the same; mask and packing as in `Attention.forward`."""
        attended = self.attention(self.attention_norm(tokens), mask=mask, packing=packing)
        attended = self.dropout(attended)
        tokens = self.attention_post_norm(tokens + self.drop_path(self.attention_scale(attended)))
        expanded = self.mlp(self.mlp_norm(tokens))
        return self.mlp_post_norm(tokens + self.drop_path(self.mlp_scale(expanded)))
