"""A stack of blocks and the final norm."""

from collections.abc import Iterator

from torch import Tensor, nn

from vit.core.block import Block, BlockSpec
from vit.core.packing import Packing, pack_padding


class Encoder(nn.Module):
    """L blocks, and a final norm where the blocks are pre-norm.

    Args:
        spec: What all blocks share.
        depth: L.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.
        final_norm: Whether there is a norm after the last block.
    """

    def __init__(self, spec: BlockSpec, depth: int, *, drop_path: float = 0.0, final_norm: bool = True):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(spec, drop_path=drop_path * layer / max(depth - 1, 1)) for layer in range(depth)
        )
        self.norm = spec.make_norm(used=final_norm)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, D), mask as in `Attention.forward` -> (B, N, D), after the final norm.

        In evaluation, padding is not computed (`pack_padding`), and its positions hold zeros. In training it
        is computed: stochastic depth draws once per sample, not once per token.
        """
        packing = None if self.training else pack_padding(mask)
        if packing is not None:
            tokens = packing.pack(tokens)
        for layer in self.layers(tokens, mask, packing):
            tokens = layer
        tokens = self.norm(tokens)
        return tokens if packing is None else packing.unpack(tokens)

    def layers(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        packing: Packing | None = None,
        *,
        detach: bool = False,
    ) -> Iterator[Tensor]:
        """Yield the tokens after each block, first block first. This is the only loop over the blocks.

        Args:
            tokens: (B, N, D), or packed (T, D).
            mask: As in `Attention.forward`.
            packing: As in `Attention.forward`.
            detach: Whether each block's input is detached, so that gradients stay within a block.
        """
        for block in self.blocks:
            tokens = block(tokens.detach() if detach else tokens, mask, packing)
            yield tokens
