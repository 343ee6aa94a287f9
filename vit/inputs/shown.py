"""The whole picture, for display: upright, at its own resolution up to a limit."""

from typing import NamedTuple

import numpy as np
from PIL import Image


class Shown(NamedTuple):
    """A picture for display.

    Args:
        picture: uint8 (height, width, 3), RGB, or (height, width), grey.
        height: Of the original in pixels, upright; `picture` may be smaller.
        width: Likewise.
    """

    picture: np.ndarray
    height: int
    width: int


def shown(image: Image.Image, side: int) -> Shown:
    """An upright image in mode L or RGB, made smaller so that its longest side has at most `side` pixels."""
    width, height = image.size
    longest = max(width, height)
    if longest > side:
        size = (max(round(width * side / longest), 1), max(round(height * side / longest), 1))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Shown(np.array(image), height, width)
