"""A stack of blocks and the final norm: an encoder, or with `cross` in its spec a decoder.

A stack is not causal by itself: its caller passes `vit.core.relations.causal_mask` in `relations`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from vit.core.block import Block
from vit.core.cache import LayerCache
from vit.core.masks import broadcast_mask
from vit.core.packing import Packing, pack_padding
from vit.core.relations import Relation
from vit.core.spec import BlockSpec


class Encoder(nn.Module):
    """L blocks and a final norm.

    Args:
        spec: What all blocks share.
        depth: L.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.
        final_norm: Whether there is a norm after the last block, which pre-norm blocks need.
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

        In evaluation, padding is not computed (`pack_padding`), and its positions hold zeros. In training,
        and under torch.compile, it is computed: stochastic depth draws once per sample, not once per token.
        """
        packing = None
        if not self.training and caches is None:
            broadcast_mask(mask, tokens.shape[0], tokens.shape[1], tokens.shape[1])  # refuses another shape
            packing = pack_padding(mask)
        if packing is not None:
            tokens = packing.pack(tokens)
        for layer in self.layers(
            tokens,
            mask,
            packing=packing,
            relations=relations,
            source=source,
            source_mask=source_mask,
            caches=caches,
        ):
            tokens = layer
        tokens = self.norm(tokens)
        return tokens if packing is None else packing.unpack(tokens)

    def layers(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        *,
        packing: Packing | None = None,
        relations: Sequence[Relation] | None = None,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        contexts: Sequence[Tensor] | None = None,
        caches: Sequence[LayerCache] | None = None,
        detach: bool = False,
    ) -> Iterator[Tensor]:
        """Yield the tokens after each block, first block first. This is the only loop over the blocks.

        Args:
            tokens: (B, N, D), or packed (T, D).
            mask: As in `Attention.forward`; with `caches` of all tokens so far.
            packing: As in `Attention.forward`.
            relations: Rotation, bias and mask by position of each layer, first layer first; None: none. With
                `caches` between the new tokens and all tokens so far.
            source: (B, M, D), the keys and values of a decoder's cross-attention; None once they are cached.
            source_mask: bool (B, M).
            contexts: What each block's first attention reads in place of `tokens`, (B, M, D) each.
            caches: Keys and values of the tokens before these, which grow by them (`vit.core.cache`).
            detach: Whether each block's input is detached, so that gradients stay within a block.

        Raises:
            ValueError: Another number of relations, contexts or caches than blocks.
        """
        relations = self._per_block("relations", relations)
        contexts = self._per_block("contexts", contexts)
        caches = self._per_block("caches", caches)
        for block, relation, context, cache in zip(self.blocks, relations, contexts, caches, strict=True):
            tokens = block(
                tokens.detach() if detach else tokens,
                mask,
                packing,
                relation=relation,
                source=source,
                source_mask=source_mask,
                context=context,
                cache=cache,
            )
            yield tokens

    def _per_block(self, name: str, given: Sequence[Any] | None) -> Sequence[Any]:
        """What is given for each block; None for each of them where nothing is given."""
        if given is None:
            return [None] * len(self.blocks)
        if len(given) != len(self.blocks):
            raise ValueError(f"{name} has {len(given)} entries, expected {len(self.blocks)}: one per block")
        return given
