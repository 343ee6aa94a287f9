"""Recording attention while fused attention stays on.

A fused kernel never forms the weights, so there is nothing to hook. What they follow from exists anyway:
each layer's queries and keys. `watch_attention` hands them over as a layer computes them; the tape keeps
them, and recomputes softmax(Q K^T) of a layer when it is asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from vit.core.attention import Recording

POOL = -1  # the slot of the attention pool, which is no layer of the encoder

Visit = Callable[[int, Recording, Tensor, Tensor], None]


@contextmanager
def watch_attention(model: nn.Module, visit: Visit) -> Iterator[None]:
    """Call `visit(layer, recording, values, mixed)` whenever a layer attends inside the block.

    Fused attention stays on and the logits are the same bit for bit. Nothing is kept but what `visit` keeps.

    Args:
        model: A tower of vit: it has `encoder.blocks`, and perhaps a `pool` with attention.
        visit: Gets the layer, counted from 0 (`POOL`: the attention pool), and what a recorder gets.

    Raises:
        TypeError: The model has no encoder of ours.
    """
    attentions: dict[int, Any] = {layer: block.attention for layer, block in enumerate(require_tower(model))}
    pool = getattr(getattr(model, "pool", None), "attention", None)
    if pool is not None:
        attentions[POOL] = pool
    before = {slot: attention.recorder for slot, attention in attentions.items()}
    try:
        for slot, attention in attentions.items():
            attention.recorder = partial(visit, slot)
        yield
    finally:
        for slot, attention in attentions.items():
            attention.recorder = before[slot]


class Tape:
    """The attention of the last forward pass, layer by layer.

    Args:
        depth: L, how many layers must have been recorded before weights can be read.
    """

    def __init__(self, depth: int):
        self.depth = depth
        self._recordings: dict[int, Recording] = {}

    def keep(self, slot: int, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        """Store one layer's recording; a new forward pass replaces the old one layer by layer."""
        self._recordings[slot] = recording

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
    tape = Tape(len(require_tower(model)))
    with watch_attention(model, tape.keep):
        yield tape


def require_tower(model: nn.Module) -> nn.ModuleList:
    """The blocks of a tower of vit.

    Raises:
        TypeError: It has no encoder of ours.
    """
    blocks = getattr(getattr(model, "encoder", None), "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise TypeError(
            f"{type(model).__name__} has no `encoder.blocks`, expected a model of vit: "
            "convert a timm model with vit.from_timm(model)"
        )
    return blocks
