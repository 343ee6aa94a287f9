"""A stack of blocks and the final norm."""

from collections.abc import Sequence

from torch import Tensor, nn

from vit.core.block import Block
from vit.core.packing import packing_of, worth_packing


class Encoder(nn.Module):
    """L blocks, and behind pre-norm blocks a LayerNorm.

    Args:
        width: D.
        depth: L.
        heads: H.
        mlp_ratio: Hidden width of each MLP over D.
        norm: Where the blocks' norms stand, `pre` or `post`.
        activation: Of the MLPs.
        qkv_bias: As in `Attention`.
        output_bias: Bias on the other projections.
        qk_norm: LayerNorm on queries and keys.
        layer_scale: Initial value of LayerScale; None is none.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.
        dropout: Dropout of the branches' outputs.
        final_norm: Whether the norm stands at the end.
        norm_eps: Epsilon of all norms.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        norm: str = "pre",
        activation: str = "gelu",
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        final_norm: bool = True,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                round(width * mlp_ratio),
                norm=norm,
                activation=activation,
                qkv_bias=qkv_bias,
                output_bias=output_bias,
                qk_norm=qk_norm,
                layer_scale=layer_scale,
                drop_path=drop_path * layer / max(depth - 1, 1),
                dropout=dropout,
                norm_eps=norm_eps,
            )
            for layer in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=norm_eps) if final_norm else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, D), mask as in `Attention.forward` -> (B, N, D), after the final norm.

        In evaluation padding is not computed, and its places hold zeros. In training it is: stochastic depth
        draws for each text, not for each token.
        """
        if self.training or not worth_packing(mask):
            for block in self.blocks:
                tokens = block(tokens, mask)
            return self.norm(tokens)
        assert mask is not None
        packing = packing_of(mask)
        packed = packing.pack(tokens)
        for block in self.blocks:
            packed = block(packed, mask, packing)
        return packing.unpack(self.norm(packed))
