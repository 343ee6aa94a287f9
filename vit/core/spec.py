"""What all blocks of a tower share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from vit.core.mlp import ACTIVATIONS
from vit.core.norms import make_norm

PLACES = ("pre", "post", "branch")


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """What all blocks of a tower share, and an attention pool after them.

    Args:
        width: D.
        heads: H.
        mlp_ratio: Hidden width of the MLP over D.
        head_width: K; None: `width // heads`.
        scale: Factor on the scores of attention; None: 1 / sqrt(K).
        norm: Norm placement: `pre`, on the inputs of attention and MLP (ViT), `post`, on the sums (BERT), or
            `branch`, on their outputs (Swin v2; Liu et al. 2022, section 3.2).
        norm_kind: A name in `vit.core.norms.NORMS`.
        activation: MLP activation, a name in `vit.core.mlp.ACTIVATIONS`.
        gated: A gated MLP (`vit.core.mlp.Mlp`).
        hidden_norm: A norm in the MLP before its last layer (Wang et al. 2022, "Foundation transformers").
        mixed_norm: A norm in attention before its output projection (likewise).
        qkv_bias: Bias on the query, key and value projections: one flag for all, or three.
        output_bias: Bias on the output projection of attention and, unless `mlp_bias` says otherwise, on the
            layers of the MLP.
        mlp_bias: Bias on the layers of the MLP; None: as `output_bias`.
        qk_norm: A norm on queries and keys (Dehghani et al. 2023, section 2).
        parallel: Attention and MLP read the same normed tokens, and one sum takes both (likewise).
        cross: Attention to a source between attention and MLP, as in a decoder (Vaswani et al. 2017, 3.1).
        layer_scale: Initial value of LayerScale on all branches; None: no LayerScale.
        dropout: Dropout rate of the branches' outputs and in the MLP.
        norm_eps: Epsilon of the norms.

    Raises:
        ValueError: An unknown `norm` or `activation`, a `qkv_bias` whose length is not 3, or `parallel` with
            norms that are not `pre`, or with `cross`.
    """

    width: int
    heads: int
    mlp_ratio: float
    head_width: int | None = None
    scale: float | None = None
    norm: Literal["pre", "post", "branch"] = "pre"
    norm_kind: str = "layer"
    activation: str = "gelu"
    gated: bool = False
    hidden_norm: bool = False
    mixed_norm: bool = False
    qkv_bias: bool | Sequence[bool] = True
    output_bias: bool = True
    mlp_bias: bool | None = None
    qk_norm: bool = False
    parallel: bool = False
    cross: bool = False
    layer_scale: float | None = None
    dropout: float = 0.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.norm not in PLACES:
            raise ValueError(f"norm is {self.norm!r}, expected one of: {', '.join(PLACES)}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}, expected one of: {', '.join(ACTIVATIONS)}")
        if not isinstance(self.qkv_bias, bool) and len(self.qkv_bias) != 3:
            raise ValueError(f"qkv_bias is {self.qkv_bias}, expected one flag, or three: query, key, value")
        if self.parallel and (self.norm != "pre" or self.cross):
            raise ValueError(
                f"parallel is True, with norm {self.norm!r} and cross {self.cross}: expected 'pre' and False"
            )

    @property
    def hidden(self) -> int:
        """Hidden width of the MLP."""
        return round(self.width * self.mlp_ratio)

    def make_norm(self, *, used: bool = True) -> nn.Module:
        """A norm over D, as `vit.core.norms.make_norm`."""
        return make_norm(self.width, self.norm_eps, kind=self.norm_kind, used=used)
