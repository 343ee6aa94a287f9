"""A figure as pixels."""

import math

import numpy as np
from PIL import Image, ImageDraw

from vit.viewer.colors import PAPER
from vit.viewer.figure.parts import RGBA, Cells, Drawing, Picture, Shape, Words
from vit.viewer.fonts import font

FINE = 4  # pixels of a mask per pixel and side, of shapes up to
SMALL = 256  # pixels wide and high; larger ones have half as many


def raster(drawing: Drawing) -> Image.Image:
    """The figure as an RGB image of its size."""
    page = Image.new("RGB", (drawing.width, drawing.height), PAPER)
    for part in drawing.parts:
        if isinstance(part, Picture):
            _paste(page, _resized(part), part.left, part.top)
        elif isinstance(part, Cells):
            columns, rows = part.columns.round().astype(int), part.rows.round().astype(int)
            pixels = part.colors.repeat(np.diff(rows), 0).repeat(np.diff(columns), 1)
            _paste(page, Image.fromarray(pixels), columns[0], rows[0])
        elif isinstance(part, Shape):
            _paint(page, part)
        else:
            _write(page, part)
    return page


def _resized(part: Picture) -> Image.Image:
    size = (part.width, part.height)
    if part.image.size == size:
        return part.image
    return part.image.resize(size, Image.Resampling.NEAREST if part.crisp else Image.Resampling.LANCZOS)


def _paste(page: Image.Image, image: Image.Image, left: int, top: int) -> None:
    if 0 in image.size:
        return
    page.paste(image, (int(left), int(top)), image if image.mode == "RGBA" else None)


def _paint(page: Image.Image, shape: Shape) -> None:
    """Draw a shape through a mask that is finer than the page, for smooth edges."""
    margin = math.ceil(shape.width) + 1
    left, top = (int(value) - margin for value in np.floor(shape.points.min(0)))
    right, bottom = (int(value) + margin for value in np.ceil(shape.points.max(0)))
    size = (right - left, bottom - top)
    fine = FINE if max(size) <= SMALL else FINE // 2
    points = [tuple(point) for point in ((shape.points - (left, top)) * fine - 0.5).tolist()]
    for color, width in ((shape.fill, 0.0), (shape.line, shape.width)):
        if color is None:
            continue
        mask = Image.new("L", (size[0] * fine, size[1] * fine))
        draw = ImageDraw.Draw(mask)
        if not width:
            draw.polygon(points, fill=color[3])
        else:
            line = [*points, *points[:2]] if shape.closed else points
            draw.line(line, fill=color[3], width=max(round(width * fine), 1), joint="curve")
        _stamp(page, mask.resize(size, Image.Resampling.BOX), color, left, top)


def _stamp(page: Image.Image, mask: Image.Image, color: RGBA, left: int, top: int) -> None:
    page.paste(Image.new("RGB", mask.size, color[:3]), (left, top), mask)


def _write(page: Image.Image, words: Words) -> None:
    draw = ImageDraw.Draw(page)
    face = font(words.size, words.text)
    draw.text((words.x, words.y), words.text, fill=words.ink, font=face, anchor=words.anchor)
