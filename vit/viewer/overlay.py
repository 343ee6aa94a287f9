"""The overlay of an image: the image, the image under its heat map, a color bar, a title and a caption.

      ┌──────────┐ ┌──────────┐ ▐ high
      │ original │ │   heat   │ ▐
      └──────────┘ └──────────┘ ▐ low
      title
      caption

A patch grid is `rows, cols`; pixels are `height, width`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from vit.errors import VitError
from vit.viewer.colors import FAINT, INK, PAPER, color, color_bar, normalise
from vit.viewer.fonts import font, shorten

STRENGTH = 0.66  # share of the heat's color in the mixture; the rest is the grey image
MUTED = (24.0, 0.75)  # black level and contrast of the grey image: recognisable, but darker than the heat
CRISP_FROM = 4  # an image enlarged by this factor or more keeps square pixels (no interpolation)
SMOOTH_FROM = 8  # pixels per patch from which the heat is interpolated between patches
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
    """Draw `picture`, and beside it `heat` laid over its grey copy, with a color bar and two lines of text.

    Args:
        picture: The crop that the model saw, any mode and size. The aspect ratio is kept: small images are
            enlarged by a whole number without interpolation, others are resampled to fit `side`.
        heat: (rows, cols), real numbers on any device; cell (row, col) covers the pixels of its patch. Colors
            run from the smallest value to the largest; equal values all get the same color.
        title: The first line below, for example label and score; its middle is cut out where it is too long.
        caption: The second line, smaller, for example file name and method; shortened in the same way.
        side: Longest side of each of the two panels, in pixels; at least 96.
        mark: (row, col) of the query patch. It is outlined, and the range of colors leaves out its value, as
            that is mostly far above all others.

    Returns:
        An RGB image.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity, `side` is too small, or
            `mark` is outside the grid.
    """
    if side < SMALLEST_SIDE:
        raise VitError(
            f"overlay has side={side} pixels, expected at least {SMALLEST_SIDE} so that text is legible"
        )
    stretched, low, high = normalise(heat, mark)
    original = _fit(picture.convert("RGB"), side)
    patch = min(picture.height / heat.shape[0], picture.width / heat.shape[1])
    heated = _blend(original, stretched, smooth=patch >= SMOOTH_FROM)
    if mark is not None:
        original = original.copy()
        for panel in (original, heated):
            _outline(panel, mark, (heat.shape[0], heat.shape[1]), side)
    bar = color_bar(max(original.height, side // 4), low, high, side)
    body = _side_by_side(original, heated, bar, side)
    return _frame(body, title, caption, side)


def _fit(picture: Image.Image, side: int) -> Image.Image:
    """Resize to `side` pixels on the longest side; small images by the largest whole factor that fits."""
    longest = max(picture.size)
    crisp = side // longest >= CRISP_FROM
    factor = side // longest if crisp else side / longest
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS)


def _blend(picture: Image.Image, heat: Tensor, *, smooth: bool) -> Image.Image:
    """Blend the colors of `heat` (rows, cols), in [0, 1], with a muted grey copy of `picture`."""
    size = (picture.height, picture.width)
    cells = heat[None, None]  # (1, 1, rows, cols)
    # Both modes align the outer edges of grid and image, so that cell centres fall on patch centres.
    if smooth:
        pixels = F.interpolate(cells, size, mode="bicubic", align_corners=False).clamp(0, 1)
    else:
        pixels = F.interpolate(cells, size, mode="nearest-exact")
    grey = torch.from_numpy(np.array(picture.convert("L"), dtype=np.float32))  # (height, width)
    black, contrast = MUTED
    mixed = STRENGTH * color(pixels[0, 0]) + (1 - STRENGTH) * (black + contrast * grey[..., None])
    return Image.fromarray(mixed.round().byte().numpy())


def _outline(panel: Image.Image, mark: tuple[int, int], grid: tuple[int, int], side: int) -> None:
    """Draw a frame around the patch `mark`, light with a dark edge, visible on any background."""
    (row, col), (rows, cols) = mark, grid
    left, right = col * panel.width / cols, (col + 1) * panel.width / cols - 1
    top, bottom = row * panel.height / rows, (row + 1) * panel.height / rows - 1
    stroke = max(1, side // 192)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((left, top, right, bottom), outline=INK, width=2 * stroke)
    inner = (left + stroke, top + stroke, right - stroke, bottom - stroke)
    if inner[2] > inner[0] and inner[3] > inner[1]:
        draw.rectangle(inner, outline=PAPER, width=stroke)


def _side_by_side(original: Image.Image, heated: Image.Image, bar: Image.Image, side: int) -> Image.Image:
    """Put the two panels and the color bar next to each other, centred vertically."""
    gap = side // 32
    height = max(original.height, bar.height)
    body = Image.new("RGB", (original.width + gap + heated.width + gap + bar.width, height), PAPER)
    left = 0
    for part in (original, heated, bar):
        body.paste(part, (left, (height - part.height) // 2))
        left += part.width + gap
    return body


def _frame(body: Image.Image, title: str, caption: str, side: int) -> Image.Image:
    """Put a margin around `body`, and title and caption below it, where they are not empty."""
    margin = side // 24
    lines = [(title, font(side / 19, title), INK), (caption, font(side / 26, caption), FAINT)]
    lines = [line for line in lines if line[0].strip()]
    width = max(body.width, side)  # room for the text below a narrow image
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
