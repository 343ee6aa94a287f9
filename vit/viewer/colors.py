"""What overlays and pages share: the colors, the range of a heat map, and the color bar that shows it."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from vit.errors import VitError
from vit.viewer.fonts import font

PAPER, INK, FAINT = (255, 255, 255), (28, 30, 34), (112, 117, 125)  # RGB of background, text, secondary text
COLORMAP = "inferno"  # perceptually uniform, dark to bright: brighter is always more
FLAT = 128 / 255  # what equal values become: exactly an entry of the color table, so nothing is rounded


def color(values: Tensor) -> Tensor:
    """Map `values` (...), floats in [0, 1] (others are clamped), to RGB colors (..., 3), uint8 on the CPU."""
    from matplotlib import colormaps

    table = torch.from_numpy(colormaps[COLORMAP](np.arange(256), bytes=True)[:, :3].copy())  # (256, 3)
    return table[(values.clamp(0, 1) * 255).round().long().cpu()]


def normalise(heat: Tensor, mark: tuple[int, int] | None) -> tuple[Tensor, float, float]:
    """Stretch `heat` over [0, 1].

    Args:
        heat: (rows, cols), real numbers on any device.
        mark: (row, col) of a cell that the range leaves out; its own value is clamped to [0, 1].

    Returns:
        The stretched heat (rows, cols), float32 on the CPU, all `FLAT` if the values are equal; the smallest
        value of the range; the largest.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity; `mark` is outside the grid.
    """
    heat = finite(heat)
    counted = heat.flatten()
    if mark is not None:
        rows, cols = heat.shape
        if not (0 <= mark[0] < rows and 0 <= mark[1] < cols):
            raise VitError(f"mark is {mark}, expected (0, 0) to ({rows - 1}, {cols - 1})")
        if heat.numel() > 1:
            index = mark[0] * cols + mark[1]
            counted = torch.cat([counted[:index], counted[index + 1 :]])
    low, high = counted.min().item(), counted.max().item()
    stretched = ((heat - low) / (high - low)).clamp(0, 1) if high > low else torch.full_like(heat, FLAT)
    return stretched.float(), low, high


def finite(heat: Tensor) -> Tensor:
    """A map (rows, cols) in float64 on the CPU.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity.
    """
    if heat.ndim != 2 or heat.numel() == 0:
        raise VitError(f"heat has shape {tuple(heat.shape)}, expected (rows, cols): one value per patch")
    heat = heat.detach().cpu().double()  # in this order: Apple's GPU has no float64
    broken = int((~heat.isfinite()).sum())
    if broken:
        raise VitError(
            f"heat has NaN or infinity in {broken} of {heat.numel()} cells, expected finite values only"
        )
    return heat


def color_bar(height: int, low: float, high: float, side: int) -> Image.Image:
    """Draw the color bar with its two ends named: the largest value at the top, the smallest at the bottom.

    Args:
        height: Of the bar, in pixels.
        low: Smallest value.
        high: Largest value; where it equals `low`, the bar has one color and one number.
        side: Side of the overlay's panels in pixels, to which text and gaps are scaled.
    """
    face = font(side / 30)
    width, gap = max(6, side // 40), max(3, side // 80)
    values = [f"{high:.3g}", f"{low:.3g}"] if high > low else [f"{low:.3g}"]
    # Wide enough for nearly all numbers, so that most overlays have the same width.
    room = math.ceil(max(face.getlength(text) for text in ("-0.000123", *values))) + 1
    ramp = torch.linspace(1, 0, height) if high > low else torch.full((height,), FLAT)
    bar = Image.new("RGB", (width + gap + room, height), PAPER)
    bar.paste(Image.fromarray(color(ramp[:, None].expand(height, width)).numpy()), (0, 0))
    draw = ImageDraw.Draw(bar)
    ends = [(0, "lt"), (height - 1, "lb")] if high > low else [(height / 2, "lm")]
    for value, (y, anchor) in zip(values, ends, strict=True):
        draw.text((width + gap, y), value, fill=FAINT, font=face, anchor=anchor)
    return bar
