"""One picture that shows what a model looked at: the original, the heat over it, the scale and a caption.

      ┌──────────┐ ┌──────────┐ ▐ high
      │ original │ │   heat   │ ▐
      └──────────┘ └──────────┘ ▐ low
      title
      caption

A patch grid is `rows, cols`; pixels are `height, width`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from vit.errors import VitError
from vit.viewer.fonts import font, shorten

PAPER, INK, FAINT = (255, 255, 255), (28, 30, 34), (112, 117, 125)
COLOURS = "inferno"  # perceptually uniform, dark to bright: brighter is always more
STRENGTH = 0.66  # share of the heat's colour in the mixture; the rest is the grey picture
MUTED = (24.0, 0.75)  # the grey picture's black level and contrast: enough to recognise, too little to glare
CRISP_FROM = 4  # pictures enlarged at least this often keep their square pixels
SMOOTH_FROM = 8  # patches of at least so many pixels blend into each other; smaller ones stay squares
FLAT = 128 / 255  # the colour of equal values: an entry of the table, since between two rounding would choose
SMALLEST_SIDE = 96  # pixels; below it no text is legible


def overlay(
    picture: Image.Image,
    heat: Tensor,
    *,
    title: str = "",
    caption: str = "",
    side: int = 384,
    mark: tuple[int, int] | None = None,
) -> Image.Image:
    """Draw `picture`, and beside it `heat` laid over its grey copy, with a colour bar and two lines of text.

    Args:
        picture: the window that the model saw, any mode and size. It keeps its aspect: small pictures are
            enlarged by a whole number with crisp pixels, others resampled to fit `side`.
        heat: (rows, cols), real numbers on any device; cell (row, col) covers exactly its share of the
            window. Colours run from the smallest value to the largest; equal values give one flat colour.
        title: the first line below, say label and score; shortened in its middle where too long.
        caption: the second line, smaller, say file name and method; shortened likewise.
        side: longest side of each of the two panels, in pixels; at least 96.
        mark: (row, col) of the patch that was asked from. It is outlined, and its own value, mostly far above
            all others, takes no part in the range of colours.

    Returns:
        An RGB picture.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity, `side` is too small, or
            `mark` lies outside the grid.
    """
    if side < SMALLEST_SIDE:
        raise VitError(
            f"overlay has side={side} pixels, expected at least {SMALLEST_SIDE} so that text is legible"
        )
    share, low, high = _normalise(heat, mark)
    original = _fit(picture.convert("RGB"), side)
    patch = min(picture.height / heat.shape[0], picture.width / heat.shape[1])
    lit = _light(original, share, smooth=patch >= SMOOTH_FROM)
    if mark is not None:
        original = original.copy()
        for panel in (original, lit):
            _outline(panel, mark, (heat.shape[0], heat.shape[1]), side)
    body = _beside(original, lit, _colour_bar(max(original.height, side // 4), low, high, side), side)
    return _frame(body, title, caption, side)


def colour(share: Tensor) -> Tensor:
    """Map `share` (...), floats in [0, 1] (values outside are clamped), to RGB colours (..., 3), uint8."""
    from matplotlib import colormaps

    table = torch.from_numpy(colormaps[COLOURS](np.arange(256), bytes=True)[:, :3].copy())  # (256, 3)
    return table[(share.clamp(0, 1) * 255).round().long().cpu()]


def _normalise(heat: Tensor, mark: tuple[int, int] | None) -> tuple[Tensor, float, float]:
    """Return `heat` (rows, cols) stretched over [0, 1] as float32, and its smallest and largest value."""
    if heat.ndim != 2 or heat.numel() == 0:
        raise VitError(f"heat has shape {tuple(heat.shape)}, expected (rows, cols): one value per patch")
    heat = heat.detach().double().cpu()
    broken = int((~heat.isfinite()).sum())
    if broken:
        raise VitError(
            f"heat has NaN or infinity in {broken} of {heat.numel()} cells, expected finite values only"
        )
    counted = heat.flatten()
    if mark is not None:
        rows, cols = heat.shape
        if not (0 <= mark[0] < rows and 0 <= mark[1] < cols):
            raise VitError(f"mark is {mark}, expected (0, 0) to ({rows - 1}, {cols - 1})")
        if heat.numel() > 1:
            place = mark[0] * cols + mark[1]
            counted = torch.cat([counted[:place], counted[place + 1 :]])
    low, high = counted.min().item(), counted.max().item()
    share = ((heat - low) / (high - low)).clamp(0, 1) if high > low else torch.full_like(heat, FLAT)
    return share.float(), low, high


def _fit(picture: Image.Image, side: int) -> Image.Image:
    """Resize `picture` so that its longest side is `side` pixels, or the largest whole multiple if crisp."""
    longest = max(picture.size)
    crisp = side // longest >= CRISP_FROM
    factor = side // longest if crisp else side / longest
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS)


def _light(picture: Image.Image, share: Tensor, *, smooth: bool) -> Image.Image:
    """Lay `share` (rows, cols) in [0, 1] over a muted grey copy of `picture`."""
    size = (picture.height, picture.width)
    cells = share[None, None]  # (1, 1, rows, cols)
    # Both modes stretch the grid's outer edges onto the picture's: cell centres fall on patch centres.
    if smooth:
        spread = F.interpolate(cells, size, mode="bicubic", align_corners=False).clamp(0, 1)
    else:
        spread = F.interpolate(cells, size, mode="nearest-exact")
    grey = torch.from_numpy(np.array(picture.convert("L"), dtype=np.float32))  # (height, width)
    black, contrast = MUTED
    mixed = STRENGTH * colour(spread[0, 0]) + (1 - STRENGTH) * (black + contrast * grey[..., None])
    return Image.fromarray(mixed.round().byte().numpy())


def _outline(panel: Image.Image, mark: tuple[int, int], grid: tuple[int, int], side: int) -> None:
    """Draw a frame around the patch `mark`, light with a dark edge, so that it shows on any picture."""
    (row, col), (rows, cols) = mark, grid
    left, right = col * panel.width / cols, (col + 1) * panel.width / cols - 1
    top, bottom = row * panel.height / rows, (row + 1) * panel.height / rows - 1
    stroke = max(1, side // 192)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((left, top, right, bottom), outline=INK, width=2 * stroke)
    inner = (left + stroke, top + stroke, right - stroke, bottom - stroke)
    if inner[2] > inner[0] and inner[3] > inner[1]:
        draw.rectangle(inner, outline=PAPER, width=stroke)


def _colour_bar(height: int, low: float, high: float, side: int) -> Image.Image:
    """Draw the scale, `height` pixels high: the largest value at the top, the smallest at the bottom."""
    face = font(side / 30)
    width, gap = max(6, side // 40), max(3, side // 80)
    values = [f"{high:.3g}", f"{low:.3g}"] if high > low else [f"{low:.3g}"]
    # The same for most values, so that pages share one width.
    room = math.ceil(max(face.getlength(text) for text in ("-0.000123", *values))) + 1
    ramp = torch.linspace(1, 0, height) if high > low else torch.full((height,), FLAT)
    bar = Image.new("RGB", (width + gap + room, height), PAPER)
    bar.paste(Image.fromarray(colour(ramp[:, None].expand(height, width)).numpy()), (0, 0))
    draw = ImageDraw.Draw(bar)
    places = [(0, "lt"), (height - 1, "lb")] if high > low else [(height / 2, "lm")]
    for value, (y, anchor) in zip(values, places, strict=True):
        draw.text((width + gap, y), value, fill=FAINT, font=face, anchor=anchor)
    return bar


def _beside(original: Image.Image, lit: Image.Image, bar: Image.Image, side: int) -> Image.Image:
    """Put the three next to each other, centred vertically."""
    gap = side // 32
    height = max(original.height, bar.height)
    body = Image.new("RGB", (original.width + gap + lit.width + gap + bar.width, height), PAPER)
    left = 0
    for part in (original, lit, bar):
        body.paste(part, (left, (height - part.height) // 2))
        left += part.width + gap
    return body


def _frame(body: Image.Image, title: str, caption: str, side: int) -> Image.Image:
    """Put a margin around `body`, and the lines of text that there are below it."""
    margin = side // 24
    lines = [(title, font(side / 19, title), INK), (caption, font(side / 26, caption), FAINT)]
    lines = [line for line in lines if line[0].strip()]
    width = max(body.width, side)  # narrow pictures leave the text its room
    height = body.height + sum(round(1.5 * face.size) for _, face, _ in lines) + (margin // 2 if lines else 0)
    page = Image.new("RGB", (width + 2 * margin, height + 2 * margin), PAPER)
    page.paste(body, (margin, margin))
    draw = ImageDraw.Draw(page)
    top = margin + body.height + margin // 2
    for text, face, ink in lines:
        line_height = round(1.5 * face.size)
        draw.text(
            (margin, top + line_height / 2), shorten(text, face, width), fill=ink, font=face, anchor="lm"
        )
        top += line_height
    return page
