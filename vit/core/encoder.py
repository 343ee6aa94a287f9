"""A stack of blocks and the final norm: an encoder, or with `cross` in its spec a decoder."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from vit.core.block import Block
from vit.core.cache import LayerCache
from vit.core.packing import Packing, pack_padding
from vit.core.relations import Relation
from vit.core.spec import BlockSpec


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

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        relations: Sequence[Relation] | None = None,
        *,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D), after the final norm; the arguments are those of `layers`.

        In evaluation, padding is not computed (`pack_padding`), and its positions hold zeros. In training it
        is computed: stochastic depth draws once per sample, not once per token.
        """
        packing = None if self.training or caches is not None else pack_padding(mask)
        if packing is not None:
            tokens = packing.pack(tokens)
        for layer in self.layers(
            tokens, mask, packing, relations, source=source, source_mask=source_mask, caches=caches
        ):
            tokens = layer
        tokens = self.norm(tokens)
        return tokens if packing is None else packing.unpack(tokens)

    def layers(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        packing: Packing | None = None,
        relations: Sequence[Relation] | None = None,
        *,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
        detach: bool = False,
    ) -> Iterator[Tensor]:
        """Yield the tokens after each block, first block first. This is the only loop over the blocks.

        Args:
            tokens: (B, N, D), or packed (T, D).
            mask: As in `Attention.forward`; with `caches` of all tokens so far.
            packing: As in `Attention.forward`.
            relations: What each layer knows of positions, first layer first; None: nothing.
            source: (B, M, D), what the blocks of a decoder attend to.
            source_mask: bool (B, M).
            caches: Keys and values of the tokens before these, which grow by them (`vit.core.cache`).
            detach: Whether each block's input is detached, so that gradients stay within a block.
        """
        for index, block in enumerate(self.blocks):
            yield (
                tokens := block(
                    tokens.detach() if detach else tokens,
                    mask,
                    packing,
                    relation=None if relations is None else relations[index],
                    source=source,
                    source_mask=source_mask,
                    cache=None if caches is None else caches[index],
                )
            )
