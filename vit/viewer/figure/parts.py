"""What a figure is made of: images, polygons and words, in pixels from its top left."""

from typing import NamedTuple

import numpy as np
from numpy import ndarray
from PIL import Image

RGBA = tuple[int, int, int, int]  # 0..255, alpha last


class Picture(NamedTuple):
    """An image, RGB or RGBA, resized to `width` x `height`.

    Args:
        image: The pixels.
        left: Of its left edge, as `top` of its upper one.
        top: See `left`.
        width: Whole pixels, as `height`.
        height: See `width`.
        crisp: Whether its pixels stay squares.
    """

    image: Image.Image
    left: int
    top: int
    width: int
    height: int
    crisp: bool = False


class Cells(NamedTuple):
    """A grid of colored rectangles.

    Args:
        colors: uint8 (rows, cols, 4), RGBA.
        columns: (cols + 1,), the edges of the columns, ascending.
        rows: (rows + 1,), those of the rows.
    """

    colors: ndarray
    columns: ndarray
    rows: ndarray


class Shape(NamedTuple):
    """A polygon or a line.

    Args:
        points: (n, 2), x and y.
        fill: Its color inside; None: nothing.
        line: The color of its line; None: none.
        width: Of the line, in pixels.
        closed: Whether the line returns to its first point.
    """

    points: ndarray
    fill: RGBA | None = None
    line: RGBA | None = None
    width: float = 1.0
    closed: bool = True


class Words(NamedTuple):
    """A line of text.

    Args:
        text: Shortened already.
        x: Of its anchor.
        y: Likewise.
        size: Pixels.
        ink: RGB.
        anchor: As in Pillow: `l`, `m` or `r`, then `t`, `m` or `b` (top, middle, bottom).
    """

    text: str
    x: float
    y: float
    size: float
    ink: tuple[int, int, int]
    anchor: str = "lm"


Part = Picture | Cells | Shape | Words


class Drawing(NamedTuple):
    """A whole figure on white.

    Args:
        width: Pixels.
        height: Pixels.
        parts: In the order in which they are drawn.
    """

    width: int
    height: int
    parts: tuple[Part, ...]


def rectangle(left: float, top: float, right: float, bottom: float) -> ndarray:
    """The four corners, (4, 2)."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)
