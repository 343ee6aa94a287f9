"""Recording attention while fused attention stays on.

A fused kernel never forms the weights, so there is nothing to hook. The tape keeps each layer's queries and
keys, which exist anyway, and recomputes softmax(Q K^T) of a layer when it is asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.core.attention import attention_weights

POOL = -1  # the slot of the attention pool, which is no layer of the encoder


class Recording(NamedTuple):
    """What a layer's weights follow from: query (B, H, N, K), key (B, H, M, K), mask or None, scale."""

    query: Tensor
    key: Tensor
    mask: Tensor | None
    scale: float

    def weights(self) -> Tensor:
        """(B, H, N, M), at least float32, also where the model computed in half precision."""
        dtype = torch.promote_types(self.query.dtype, torch.float32)
        return attention_weights(self.query.to(dtype), self.key.to(dtype), self.mask, self.scale)


class Tape:
    """The attention of the last forward pass, layer by layer.

    Args:
        depth: L, how many layers must have been recorded before weights can be read.
    """

    def __init__(self, depth: int):
        self.depth = depth
        self._recordings: dict[int, Recording] = {}

    def keep(self, slot: int, query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> None:
        """Store one layer's recording; a new forward pass replaces the old one layer by layer."""
        self._recordings[slot] = Recording(query, key, mask, scale)

    def __len__(self) -> int:
        return sum(slot != POOL for slot in self._recordings)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield each layer's weights (B, H, N, N) in order, one at a time: memory peaks at one layer."""
        if len(self) != self.depth:
            raise RuntimeError(
                f"the tape holds {len(self)} layers, expected {self.depth}: "
                "run the whole model once inside `with record_attention(model)`"
            )
        for layer in range(self.depth):
            yield self._recordings[layer].weights()

    def weights(self) -> list[Tensor]:
        """All layers' weights: L tensors (B, H, N, N), at least float32, rows sum to 1.

        Raises:
            RuntimeError: Fewer layers were recorded than the model has.
        """
        return list(self)

    def pool_weights(self) -> Tensor | None:
        """The attention pool's weights over the patches, (B, H, 1, patches); None without such a pool."""
        recording = self._recordings.get(POOL)
        return None if recording is None else recording.weights()


@contextmanager
def record_attention(model: nn.Module) -> Iterator[Tape]:
    """Record the attention of every forward pass inside the block.

    Fused attention stays on and the logits are the same bit for bit. Queries and keys keep their gradient,
    so run under `torch.no_grad()` where none is wanted.

    Args:
        model: A tower of vit: it has `encoder.blocks`, and perhaps a `pool` with attention.

    Yields:
        The tape; read it inside or after the block.

    Raises:
        TypeError: The model has no encoder of ours.
    """
    blocks = getattr(getattr(model, "encoder", None), "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise TypeError(
            f"{type(model).__name__} has no `encoder.blocks`, expected a model of vit: "
            "convert a timm model with vit.from_timm(model)"
        )
    attentions: dict[int, Any] = {layer: block.attention for layer, block in enumerate(blocks)}
    pool = getattr(getattr(model, "pool", None), "attention", None)
    if pool is not None:
        attentions[POOL] = pool
    tape = Tape(len(blocks))
    before = {slot: attention.recorder for slot, attention in attentions.items()}
    try:
        for slot, attention in attentions.items():
            attention.recorder = partial(tape.keep, slot)
        yield tape
    finally:
        for slot, attention in attentions.items():
            attention.recorder = before[slot]
