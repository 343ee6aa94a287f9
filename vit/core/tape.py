"""Recording attention while fused attention stays on.

A fused kernel never forms the weights, so a hook would have nothing to read. The queries and keys that
determine them exist in any case: `watch_attention` passes them on as each layer computes them, the tape keeps
them, and softmax(Q K^T) of a layer is computed when it is asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple

from torch import Tensor

from vit.core.attention import Attention, Recording
from vit.core.block import Block
from vit.core.encoder import Encoder


class Slot(NamedTuple):
    """Identifies an attention layer of a model.

    Args:
        stack: Path of the encoder or decoder that it belongs to (`encoder`), of a decoder's attention to its
            source that path and `cross` (`decoder.cross`), or the path of the module that holds it (`pool`).
        layer: Counted from 0 within the stack.
    """

    stack: str
    layer: int


CROSS = "cross"  # the last part of the stack of a decoder's attention to its source
Visit = Callable[[Slot, Recording, Tensor, Tensor], None]


def attention_slots(model: Any) -> dict[Slot, Attention]:
    """Every attention layer of a model, in the order of its modules.

    Raises:
        TypeError: The model has no encoder of vit.
    """
    encoders = [name for name, module in model.named_modules() if isinstance(module, Encoder)]
    if not encoders:
        raise TypeError(
            f"{type(model).__name__} has no vit.core.Encoder, expected a vit model: "
            "convert a timm model with vit.from_timm(model)"
        )
    to_source = {id(module.cross) for module in model.modules() if isinstance(module, Block)}
    slots: dict[Slot, Attention] = {}
    depths: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            inside = [encoder for encoder in encoders if not encoder or name.startswith(f"{encoder}.")]
            stack = inside[0] if inside else name.rpartition(".")[0]
            if id(module) in to_source:
                stack = f"{stack}.{CROSS}" if stack else CROSS
            slots[Slot(stack, depths.get(stack, 0))] = module
            depths[stack] = depths.get(stack, 0) + 1
    return slots


@contextmanager
def watch_attention(model: Any, visit: Visit) -> Iterator[None]:
    """Call `visit(slot, recording, values, mixed)` whenever a layer attends inside the `with` block.

    Fused attention stays on and the logits are the same bit for bit. Only forward passes of the calling
    thread are seen, so two threads may watch one model at once.

    Args:
        model: A model of vit.
        visit: Gets the layer's slot, and what a recorder of `vit.core.Attention` gets.

    Raises:
        TypeError: The model has no encoder of vit.
    """
    slots = attention_slots(model)
    thread = get_ident()
    outer = {slot: attention.recorders.get(thread) for slot, attention in slots.items()}
    try:
        for slot, attention in slots.items():
            attention.recorders[thread] = partial(visit, slot)
        yield
    finally:
        for slot, attention in slots.items():
            before = outer[slot]
            if before is None:
                attention.recorders.pop(thread, None)
            else:
                attention.recorders[thread] = before


class Tape:
    """The attention of the last forward pass, layer by layer.

    Args:
        depths: Number of attention layers of each stack, all of which must be recorded before their weights
            can be read. The first stack is the encoder's.
    """

    def __init__(self, depths: dict[str, int]):
        self.depths = depths
        self._recordings: dict[Slot, Recording] = {}

    def keep(self, slot: Slot, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        """Store one layer's recording; a new forward pass replaces the last one layer by layer."""
        self._recordings[slot] = recording

    def __len__(self) -> int:
        """Recorded layers of the first encoder."""
        return sum(slot.stack == self._stack() for slot in self._recordings)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the weights of each layer of the first encoder, one at a time: memory peaks at one layer."""
        return self.layers()

    def layers(self, stack: str | None = None) -> Iterator[Tensor]:
        """Yield the weights (B, H, N, N) of a stack's layers, one at a time; (B, H, N, M) of attention to a
        source of M tokens.

        Args:
            stack: Path of the stack in the model, as in `Slot`; None: the first encoder.

        Raises:
            ValueError: The model has no such stack.
            RuntimeError: Fewer layers were recorded than the stack has.
        """
        stack = self._stack() if stack is None else stack
        if stack not in self.depths:
            raise ValueError(f"stack is {stack!r}, expected one of: {', '.join(self.depths)}")
        depth = self.depths[stack]
        recorded = [self._recordings.get(Slot(stack, layer)) for layer in range(depth)]
        present = [recording for recording in recorded if recording is not None]
        if len(present) != depth:
            raise RuntimeError(
                f"the tape holds {len(present)} layers, expected {depth}: "
                "run the whole model once inside `with record_attention(model)`"
            )
        for recording in present:
            yield recording.weights()

    def weights(self, stack: str | None = None) -> list[Tensor]:
        """All layers' weights: L tensors (B, H, N, N), at least float32, rows sum to 1.

        Of an encoder-decoder, `decoder` is attention of the target to itself, and `decoder.cross` that to the
        source, (B, H, N, M). Argument and errors are those of `layers`.
        """
        return list(self.layers(stack))

    def pool_weights(self) -> Tensor | None:
        """The attention pool's weights over the patches, (B, H, 1, patches); None without such a pool."""
        pools = (kept for slot, kept in self._recordings.items() if slot.stack.split(".")[-1] == POOL.stack)
        recording = next(pools, None)
        return None if recording is None else recording.weights()

    def _stack(self) -> str:
        return next(iter(self.depths))


POOL = Slot("pool", 0)  # the attention pool of a tower


@contextmanager
def record_attention(model: Any) -> Iterator[Tape]:
    """Record the attention of every forward pass of this thread inside the `with` block.

    Fused attention stays on and the logits are the same bit for bit. Queries and keys keep their gradient,
    so run under `torch.no_grad()` where none is wanted.

    Args:
        model: A model of vit.

    Yields:
        The tape; read it inside or after the block.

    Raises:
        TypeError: The model has no encoder of vit.
    """
    slots = attention_slots(model)
    encoder = next(name for name, module in model.named_modules() if isinstance(module, Encoder))
    depths = {encoder: 0}
    for slot in slots:
        depths[slot.stack] = depths.get(slot.stack, 0) + 1
    tape = Tape(depths)
    with watch_attention(model, tape.keep):
        yield tape
