"""Relative positions by kind."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vit.core.spec import BlockSpec
from vit.positions.distances import DistanceKeys
from vit.positions.relative import BucketBias, GridBias
from vit.positions.rotary import GridRotary, MixedGridRotary, SequenceRotary

# Those of a grid are called with (rows, cols, prefix, device, dtype), those of a sequence with the positions
# of queries and keys; both return one relation per layer.
GRIDS: dict[str, Callable[..., nn.Module]] = {
    "rotary": lambda spec, depth, **options: GridRotary(_head_width(spec), depth, **options),
    "rotary_mixed": lambda spec, depth, **options: MixedGridRotary(
        _head_width(spec), depth, heads=spec.heads, **options
    ),
    "table": lambda spec, depth, **options: GridBias(spec.heads, depth, **options),
}
SEQUENCES: dict[str, Callable[..., nn.Module]] = {
    "rotary": lambda spec, depth, **options: SequenceRotary(_head_width(spec), depth, **options),
    "buckets": lambda spec, depth, **options: BucketBias(spec.heads, depth, **options),
    "distances": lambda spec, depth, **options: DistanceKeys(
        spec.width, spec.heads, _head_width(spec), depth, scale=spec.scale, **options
    ),
}


def make_relative(
    roster: Mapping[str, Callable[..., nn.Module]],
    relative: Mapping[str, Any] | None,
    spec: BlockSpec,
    depth: int,
) -> nn.Module | None:
    """Relative positions for a stack of blocks; None for None.

    Args:
        roster: `GRIDS` or `SEQUENCES`.
        relative: `kind`, a name in the roster, and the options of its class.
        spec: What the blocks share.
        depth: L.

    Raises:
        ValueError: An unknown kind, or options that it does not take.
    """
    if relative is None:
        return None
    options = dict(relative)
    kind = options.pop("kind", None)
    if kind not in roster:
        raise ValueError(f"relative positions are {kind!r}, expected one of: {', '.join(roster)}")
    try:
        return roster[kind](spec, depth, **options)
    except TypeError as error:
        raise ValueError(f"relative positions of kind {kind!r}: {error}") from None


def _head_width(spec: BlockSpec) -> int:
    return spec.width // spec.heads if spec.head_width is None else spec.head_width
