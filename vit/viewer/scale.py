"""The range of values that colors stand for, such that no single patch makes all others black."""

from typing import NamedTuple

import torch
from torch import Tensor

from vit.errors import VitError
from vit.viewer.colors import FLAT, finite

SHARE = 0.98  # of the values that a cut range ends at; the rest is clipped
FAR = 2.0  # times that range from which the largest value cuts it; up to it colors run to the largest


class Scale(NamedTuple):
    """A heat map in units of its range of colors.

    Args:
        heat: float64 (rows, cols), the map.
        values: float32 (rows, cols), in [0, 1]; of equal values all `FLAT`.
        low: The value at 0.
        high: The value at 1.
        below: bool (rows, cols), values that count and are below `low`.
        above: bool (rows, cols), likewise above `high`.
        apart: bool (rows, cols), values that do not count.
    """

    heat: Tensor
    values: Tensor
    low: float
    high: float
    below: Tensor
    above: Tensor
    apart: Tensor


def scale(heat: Tensor, apart: Tensor | None = None) -> Scale:
    """The range of colors of a map.

    It runs from the smallest value to the largest, unless few values are far above all others: if the largest
    is more than twice as far up as the 98th percentile, it ends at that percentile, and what is above is
    clipped. Likewise at the lower end, with the 2nd percentile.

    Args:
        heat: (rows, cols), real numbers on any device.
        apart: bool (rows, cols), cells that the range leaves out; None: none.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity; `apart` has another shape.
    """
    heat = finite(heat)
    apart = torch.zeros_like(heat, dtype=torch.bool) if apart is None else apart.cpu()
    if apart.shape != heat.shape:
        raise VitError(f"apart has shape {tuple(apart.shape)}, expected that of heat, {tuple(heat.shape)}")
    counts = ~apart if not apart.all() else torch.ones_like(apart)
    counted = heat[counts]
    low, high = _ends(counted)
    values = ((heat - low) / (high - low)).clamp(0, 1) if high > low else torch.full_like(heat, FLAT)
    below, above = counts & (heat < low), counts & (heat > high)
    return Scale(heat, values.float(), low, high, below, above, apart)


def _ends(counted: Tensor) -> tuple[float, float]:
    """Lowest and highest color of the values (n,)."""
    smallest, largest = counted.min().item(), counted.max().item()
    low, high = counted.quantile(1 - SHARE).item(), counted.quantile(SHARE).item()
    cut_high = high > smallest and largest - smallest > FAR * (high - smallest)
    high = high if cut_high else largest
    cut_low = low < high and high - smallest > FAR * (high - low)
    return (low if cut_low else smallest), high
