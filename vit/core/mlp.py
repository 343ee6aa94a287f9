"""The MLP of a block, plain or gated."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
    "silu": nn.SiLU,
}


class Mlp(nn.Module):
    """Linear, activation, linear, applied to each token: (B, N, D) -> (B, N, D).

    Gated (Shazeer 2020, section 2: SwiGLU, GeGLU): the hidden channels are multiplied by
    activation(another linear layer), and the layers have no activation of their own.

    Args:
        width: D.
        hidden: Hidden channels.
        activation: A name in `ACTIVATIONS`.
        gated: Whether the hidden channels are gated.
        norm: A norm over the hidden channels before the last layer; None: none.
        bias: Bias on all layers.
        dropout: Dropout rate after the hidden and after the last layer.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        activation: str = "gelu",
        gated: bool = False,
        norm: nn.Module | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.gate = nn.Linear(width, hidden, bias=bias) if gated else None
        self.activation = ACTIVATIONS[activation]()
        self.norm = norm
        self.contract = nn.Linear(hidden, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if self.gate is None:
            hidden = self.activation(self.expand(tokens))
        else:
            hidden = self.activation(self.gate(tokens)) * self.expand(tokens)
        hidden = self.dropout(hidden)
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.dropout(self.contract(hidden))
