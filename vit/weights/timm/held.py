"""The tensors of ours as a timm model holds them: read from it, and written into it.

One table serves import and export: each entry is the name of a tensor of ours and the place in timm's model
that has it. Most places are a parameter or a part of one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Held(NamedTuple):
    """A tensor of ours in a timm model.

    Args:
        read: Gives it.
        write: Changes the parameters of timm's so that `read` gives this value; where they cannot give it,
            `read` gives another one afterwards.
    """

    read: Callable[[], Tensor]
    write: Callable[[Tensor], object]


Named = Iterator[tuple[str, Held]]  # our name of each tensor


def same(tensor: Tensor) -> Held:
    """A parameter, or a view of one."""
    return Held(lambda: tensor, tensor.copy_)


def flat(tensor: Tensor) -> Held:
    """A parameter or a view of one with all axes but the first as one."""
    return Held(lambda: tensor.flatten(1), lambda value: tensor.copy_(value.view(tensor.shape)))


def ordered(tensor: Tensor, order: Tensor | None) -> Held:
    """A parameter with its rows in another order, int64; None: as they are."""
    if order is None:
        return same(tensor)
    return Held(lambda: tensor[order], lambda value: tensor.index_copy_(0, order.to(tensor.device), value))


def total(parts: Sequence[Held]) -> Held:
    """The sum of several; written to the first, and the others are 0."""

    def write(value: Tensor) -> None:
        for part, new in zip(parts, (value, *[torch.zeros_like(value)] * (len(parts) - 1)), strict=True):
            part.write(new)

    return parts[0] if len(parts) == 1 else Held(lambda: _read(parts).sum(0), write)


def stacked(layers: Sequence[Held]) -> Held:
    """Those of several layers, along a new first axis."""

    def write(value: Tensor) -> None:
        for layer, part in zip(layers, value, strict=True):
            layer.write(part)

    return Held(lambda: _read(layers), write)


def always(value: Tensor) -> Held:
    """What timm computes without a parameter: it cannot be written."""
    return Held(lambda: value, lambda _: None)


def _read(parts: Sequence[Held]) -> Tensor:
    return torch.stack([part.read() for part in parts])


def linear_tensors(layer: nn.Linear, name: str) -> Named:
    """Weight and bias under our name."""
    yield f"{name}.weight", same(layer.weight)
    if layer.bias is not None:
        yield f"{name}.bias", same(layer.bias)
