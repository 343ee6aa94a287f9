"""One transformer block, its parts, and what all blocks of a tower share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from vit.core.attention import Attention
from vit.core.norms import make_norm
from vit.core.packing import Packing


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """What all blocks of a tower share, and an attention pool after them.

    Args:
        width: D.
        heads: H.
        mlp_ratio: Hidden width of the MLP over D.
        norm: Norm placement: `pre`, on the inputs of attention and MLP (ViT), or `post`, on the sums (BERT).
        norm_kind: A name in `vit.core.norms.NORMS`.
        activation: MLP activation: `gelu` (exact), `gelu_tanh`, `quick_gelu` or `relu`.
        qkv_bias: Bias on the query, key and value projections: one flag for all, or three.
        output_bias: Bias on the output projection of attention and on both layers of the MLP.
        qk_norm: LayerNorm on queries and keys (Dehghani et al. 2023, section 2).
        layer_scale: Initial value of LayerScale on both branches; None: no LayerScale.
        dropout: Dropout rate of the branches' outputs and in the MLP.
        norm_eps: Epsilon of the norms.

    Raises:
        ValueError: An unknown `norm` or `activation`, or a `qkv_bias` whose length is not 3.
    """

    width: int
    heads: int
    mlp_ratio: float
    norm: Literal["pre", "post"] = "pre"
    norm_kind: str = "layer"
    activation: str = "gelu"
    qkv_bias: bool | Sequence[bool] = True
    output_bias: bool = True
    qk_norm: bool = False
    layer_scale: float | None = None
    dropout: float = 0.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.norm not in ("pre", "post"):
            raise ValueError(f"norm is {self.norm!r}, expected 'pre' or 'post'")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}, expected one of: {', '.join(ACTIVATIONS)}")
        if not isinstance(self.qkv_bias, bool) and len(self.qkv_bias) != 3:
            raise ValueError(f"qkv_bias is {self.qkv_bias}, expected one flag, or three: query, key, value")

    @property
    def hidden(self) -> int:
        """Hidden width of the MLP."""
        return round(self.width * self.mlp_ratio)

    def make_norm(self, *, used: bool = True) -> nn.Module:
        """A norm over D, as `vit.core.norms.make_norm`."""
        return make_norm(self.width, self.norm_eps, kind=self.norm_kind, used=used)


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x), as in CLIP (Hendrycks & Gimpel 2016, section 2)."""

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
    """Linear, activation, linear, applied to each token: (B, N, D) -> (B, N, D).

    Args:
        spec: Its `width`, `hidden`, `activation`, `output_bias` and `dropout` (after each linear layer).
    """

    def __init__(self, spec: BlockSpec):
        super().__init__()
        self.expand = nn.Linear(spec.width, spec.hidden, bias=spec.output_bias)
        self.activation = ACTIVATIONS[spec.activation]()
        self.contract = nn.Linear(spec.hidden, spec.width, bias=spec.output_bias)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        hidden = self.dropout(self.activation(self.expand(tokens)))
        return self.dropout(self.contract(hidden))


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (Touvron et al. 2021, "Going deeper", section 2).

    Args:
        width: D.
        initial: Initial value of every factor.
    """

    def __init__(self, width: int, initial: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), initial))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return tokens * self.factor


class Block(nn.Module):
    """Attention, then MLP, each with a residual connection.

    There are four places for a norm: on the input of each branch (pre-norm, Dosovitskiy et al. 2021, eq. 2
    and 3) and on each sum (post-norm, Vaswani et al. 2017, section 3.1). Unused ones hold an identity.

    Args:
        spec: What all blocks share.
        drop_path: Probability that a branch is skipped for a sample while training (Huang et al. 2016).
    """

    def __init__(self, spec: BlockSpec, *, drop_path: float = 0.0):
        super().__init__()
        pre = spec.norm == "pre"

        def scale() -> nn.Module:
            return nn.Identity() if spec.layer_scale is None else LayerScale(spec.width, spec.layer_scale)

        self.attention_norm = spec.make_norm(used=pre)
        self.attention = Attention(
            spec.width,
            spec.heads,
            qkv_bias=spec.qkv_bias,
            output_bias=spec.output_bias,
            qk_norm=spec.qk_norm,
            norm_kind=spec.norm_kind,
            norm_eps=spec.norm_eps,
        )
        self.attention_scale = scale()
        self.attention_post_norm = spec.make_norm(used=not pre)
        self.mlp_norm = spec.make_norm(used=pre)
        self.mlp = Mlp(spec)
        self.mlp_scale = scale()
        self.mlp_post_norm = spec.make_norm(used=not pre)
        self.dropout = nn.Dropout(spec.dropout)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, tokens: Tensor, mask: Tensor | None = None, packing: Packing | None = None) -> Tensor:
        """(B, N, D), or packed (T, D) -> the same shape; mask and packing as in `Attention.forward`."""
        attended = self.attention(self.attention_norm(tokens), mask=mask, packing=packing)
        attended = self.dropout(attended)
        tokens = self.attention_post_norm(tokens + self.drop_path(self.attention_scale(attended)))
        expanded = self.mlp(self.mlp_norm(tokens))
        return self.mlp_post_norm(tokens + self.drop_path(self.mlp_scale(expanded)))
