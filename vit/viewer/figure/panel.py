"""The place of a picture, of the part that the model saw, and of its patches in a panel."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vit.viewer.figure.parts import RGBA, Part, Picture, Shape, rectangle

CRISP_FROM = 4  # a picture enlarged by this factor or more keeps square pixels (no interpolation)
MUTED = (24.0, 0.75)  # black level and contrast of the grey image: recognisable, but darker than the heat
FADE: RGBA = (255, 255, 255, 185)  # over what the model did not see
BORDER: RGBA = (128, 128, 128, 255)  # the border of a padded picture
EDGE: RGBA = (20, 22, 26, 170)  # the dark edge that makes a light line visible on any background
LIGHT: RGBA = (255, 255, 255, 255)

Window = tuple[float, float, float, float]  # left, top, right, bottom


class Panel(NamedTuple):
    """A picture in a panel.

    Args:
        image: RGB.
        width: Of the panel in pixels, as `height`.
        height: See `width`.
        place: Left, top, width and height of the picture in it.
        window: The part that the model saw, in pixels of the panel.
        crisp: Whether the picture is enlarged with square pixels.
    """

    image: Image.Image
    width: int
    height: int
    place: tuple[int, int, int, int]
    window: Window
    crisp: bool

    def edges(self, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
        """The edges of the patches in the panel: columns (cols + 1,), rows (rows + 1,)."""
        left, top, right, bottom = self.window
        return np.linspace(left, right, cols + 1), np.linspace(top, bottom, rows + 1)

    def has_border(self) -> bool:
        """Whether the model saw a border around the picture."""
        return self.place[2:] != (self.width, self.height)

    def is_cropped(self) -> bool:
        """Whether the model saw a part of the picture only, to one pixel of the panel."""
        left, top, right, bottom = self.window
        x, y, width, height = self.place
        return left > x + 1 or top > y + 1 or right < x + width - 1 or bottom < y + height - 1


def fit(picture: Image.Image, seen: Window | None, side: int, enlarged: int) -> Panel:
    """A picture, and the border that the model saw around it, in a panel.

    Args:
        picture: Any mode.
        seen: The part that the model saw, in pixels of `picture`; None: all of it.
        side: Longest side of the panel in pixels; a larger picture is made smaller.
        enlarged: Longest side up to which a smaller picture is enlarged: by a whole number and with square
            pixels where that is 4 or more.
    """
    left, top, right, bottom = seen or (0, 0, *picture.size)
    x, y = min(left, 0), min(top, 0)
    whole_width, whole_height = max(right, picture.width) - x, max(bottom, picture.height) - y
    longest = max(whole_width, whole_height)
    crisp = enlarged // longest >= CRISP_FROM
    factor = enlarged // longest if crisp else min(max(enlarged / longest, 1), side / longest)
    shown = (max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))
    place = (round(-x * factor), round(-y * factor), *shown)
    window = ((left - x) * factor, (top - y) * factor, (right - x) * factor, (bottom - y) * factor)
    width, height = max(round(whole_width * factor), 1), max(round(whole_height * factor), 1)
    return Panel(picture.convert("RGB"), width, height, place, window, crisp)


def muted(image: Image.Image) -> Image.Image:
    """Grey and darker than the colors of a map, but recognisable."""
    black, contrast = MUTED
    return ImageOps.grayscale(image).point(lambda level: round(black + contrast * level)).convert("RGB")


def calm(image: Image.Image) -> Image.Image:
    """With weaker colors, so that those of a map stand out."""
    return ImageEnhance.Color(image).enhance(0.5)


def photograph(panel: Panel, image: Image.Image, x: float, y: float) -> Iterator[Part]:
    """The panel at (x, y) with `image`, a version of its picture, and a border where there is one."""
    left, top, width, height = panel.place
    if panel.has_border():
        yield Shape(rectangle(x, y, x + panel.width, y + panel.height), fill=BORDER)
    yield Picture(image, round(x) + left, round(y) + top, width, height, panel.crisp)


def surroundings(panel: Panel, x: float, y: float, stroke: float) -> Iterator[Part]:
    """What the model did not see, faded, and a frame around what it saw; nothing if it saw everything."""
    if not panel.is_cropped():
        return
    left, top, right, bottom = np.clip(panel.window, 0, [panel.width, panel.height] * 2).round()
    for box in (
        (0, 0, panel.width, top),
        (0, bottom, panel.width, panel.height),
        (0, top, left, bottom),
        (right, top, panel.width, bottom),
    ):
        if box[2] > box[0] and box[3] > box[1]:
            yield Shape(np.add(rectangle(*box), (x, y)), fill=FADE)
    yield from framed(np.add(rectangle(left, top, right, bottom), (x, y)), stroke, LIGHT)


def framed(corners: np.ndarray, stroke: float, ink: RGBA) -> Iterator[Part]:
    """A frame inside a rectangle (4, 2), of a color that a dark edge makes visible anywhere."""
    inset = stroke / 2
    inward = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    yield Shape(corners + inward * 2 * inset, line=EDGE, width=2 * stroke)
    yield Shape(corners + inward * inset, line=ink, width=stroke)
