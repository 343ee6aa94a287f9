"""The layout of a figure: panels, color bar, text and legend.

┌──────────┐ ┌──────────┐ ▲ 98th percentile
│ original │ │   heat   │ █
└──────────┘ └──────────┘ █ low
title
caption
what the marks mean
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFont
from torch import Tensor

from vit.errors import VitError
from vit.viewer.colors import FAINT, INK
from vit.viewer.figure import legend
from vit.viewer.figure.heat import contour_parts, heat_parts
from vit.viewer.figure.look import DEFAULT, ENLARGED, STYLES, Look
from vit.viewer.figure.marks import apart_mark, border_mark, patch_marks, query_mark, seen_mark, sink_mark
from vit.viewer.figure.panel import Panel, Window, fit, photograph, surroundings
from vit.viewer.figure.parts import Drawing, Part, Words
from vit.viewer.fonts import font, shorten
from vit.viewer.scale import Scale, scale

STACKED = 1.9  # width by height from which the two panels of `side` stand one above the other
Face = Callable[[float, str], ImageFont.FreeTypeFont]


def figure(
    picture: Image.Image,
    heat: Tensor,
    *,
    title: str = "",
    caption: str = "",
    mark: tuple[int, int] | None = None,
    seen: Window | None = None,
    sinks: Tensor | None = None,
    percent: bool = False,
    look: Look = DEFAULT,
    face: Face = font,
    lines: int = 0,
) -> Drawing:
    """Lay out the overlay of one map; `raster` and `save_vector` draw it.

    Args:
        picture: Any mode and size; its aspect ratio is kept.
        heat: (rows, cols), real numbers on any device; cell (row, col) covers the pixels of its patch. Colors
            run from the smallest value to the largest, or to a percentile (`vit.viewer.scale`); patches
            beyond it have a marked corner.
        title: The first line below, for example label and score; its middle is cut out where it is too long.
        caption: The second line, smaller, for example file name and method; shortened in the same way.
        mark: (row, col) of the query patch. It is outlined, and the range of colors leaves out its value, as
            that is mostly far above all others.
        seen: Left, top, right and bottom of the part that the grid covers, in pixels of `picture`. It is
            framed, and what lies outside is faded. What extends beyond the picture is a grey border. None:
            all of it.
        sinks: bool (rows, cols), patches that are marked as sinks of attention.
        percent: Whether values are shares, which the color bar has in percent.
        look: How it is drawn.
        face: Size and letters -> the font that words are measured in; `print_font` for `save_vector`.
        lines: For which the legend has room at least; 1: figures with and without one have the same size.

    Raises:
        VitError: `heat` is not (rows, cols), is empty or holds NaN or infinity, `sinks` has another shape, or
            `mark` is outside the grid.
    """
    sink_cells = np.zeros(tuple(heat.shape), dtype=bool) if sinks is None else sinks.cpu().numpy()
    if sink_cells.shape != tuple(heat.shape):
        raise VitError(f"sinks has shape {sink_cells.shape}, expected that of heat, {tuple(heat.shape)}")
    measured = scale(heat, _apart(heat, mark, sink_cells, look))
    frame = _frame(fit(picture, seen, look.side, min(look.side, ENLARGED)), look)
    parts = list(_panels(frame, measured, mark, sink_cells, look))
    margin, size, width, height = frame.margin, frame.size, frame.width, frame.height
    bar = STYLES[look.style].bar
    if bar is not None:
        height = max(height, round(7 * size))  # room for its words
        left = margin + width + frame.gap
        parts += legend.bar(bar, measured, left, margin, height, size, percent=percent)
        width += frame.gap + math.ceil(legend.bar_width(measured, size, percent, partial(_length, face)))
    width = max(width, round(22 * size))  # room for the text below a narrow picture

    entries = list(_entries(measured, frame.panel, mark, sink_cells, heat, percent, look))
    top = margin + height + round(0.6 * size)
    below, bottom = _below(title, caption, entries, (margin, top), width, frame, face, lines)
    return Drawing(width + 2 * margin, bottom + margin, (*parts, *below))


def _length(face: Face, text: str, size: float) -> float:
    return face(size, text).getlength(text)


class _Frame(NamedTuple):
    """The panels of a figure, and its measures in pixels.

    Args:
        panel: The picture in each panel.
        places: Left and top of each panel; the map is on the last one.
        width: Of the panels together, as `height`.
        height: See `width`.
        size: Of the smaller letters.
        stroke: Width of lines.
        gap: Between panels.
        margin: Around the figure.
    """

    panel: Panel
    places: list[tuple[int, int]]
    width: int
    height: int
    size: float
    stroke: int
    gap: int
    margin: int


def _frame(panel: Panel, look: Look) -> _Frame:
    # A small picture on a large side keeps usual letters.
    scaled = min(look.side, max(panel.width, panel.height, DEFAULT.side))
    size = 9 + scaled / 96
    gap, margin = round(size), round(1.2 * size)
    across = panel.width <= STACKED * panel.height
    count = 2 if look.style == "side" else 1
    steps = (panel.width + gap, 0) if across else (0, panel.height + gap)
    places = [(margin + steps[0] * index, margin + steps[1] * index) for index in range(count)]
    width, height = (places[-1][0] - margin + panel.width, places[-1][1] - margin + panel.height)
    return _Frame(panel, places, width, height, size, max(1, round(scaled / 400)), gap, margin)


def _panels(
    frame: _Frame, measured: Scale, mark: tuple[int, int] | None, sinks: np.ndarray, look: Look
) -> Iterator[Part]:
    """The picture, where the style has two panels, and the map."""
    panel, stroke, style = frame.panel, frame.stroke, STYLES[look.style]
    set_apart = look.sinks == "set-apart"
    marks = partial(patch_marks, measured, panel, query=mark, sinks=sinks, set_apart=set_apart)
    for x, y in frame.places[:-1]:
        yield from photograph(panel, panel.image, x, y)
        yield from surroundings(panel, x, y, stroke)
        yield from marks(x, y, stroke, clipped=False)
    x, y = frame.places[-1]
    yield from photograph(panel, style.treat(panel.image), x, y)
    if style.colors is None:
        yield from contour_parts(measured, panel, x, y, stroke, smooth=look.smooth)
    else:
        clear = sinks & set_apart
        yield from heat_parts(style.colors, measured, panel, x, y, clear=clear, smooth=look.smooth)
    yield from surroundings(panel, x, y, stroke)
    yield from marks(x, y, stroke, clipped=style.bar is not None)


def _below(
    title: str,
    caption: str,
    entries: list[legend.Entry],
    at: tuple[int, int],
    width: int,
    frame: _Frame,
    face: Face,
    lines: int,
) -> tuple[list[Part], int]:
    """Title, caption and legend, with room for so many lines of it, and where they end."""
    (left, top), size = at, frame.size
    parts: list[Part] = []
    for text, letters, ink in ((title, 1.35 * size, INK), (caption, size, FAINT)):
        if text.strip():
            line = round(1.5 * letters)
            short = shorten(text, face(letters, text), width)
            parts.append(Words(short, left, top + line / 2, letters, ink))
            top += line

    measure = partial(_length, face)
    room = width - 1.4 * size  # beside a mark
    entries = [each._replace(words=shorten(each.words, face(size, each.words), room)) for each in entries]
    filled = legend.lines_of(entries, size, width, measure)
    line = round(1.6 * size)
    for index, each in enumerate(filled):
        parts += legend.legend_line(each, left, top + (index + 0.5) * line, size, frame.stroke, measure)
    return parts, top + line * max(len(filled), lines)


def _apart(heat: Tensor, mark: tuple[int, int] | None, sinks: np.ndarray, look: Look) -> Tensor:
    """The cells that the range of colors leaves out.

    Raises:
        VitError: The mark is outside the grid.
    """
    apart = torch.zeros(tuple(heat.shape), dtype=torch.bool)
    if look.sinks == "set-apart":
        apart |= torch.from_numpy(sinks)
    if mark is not None and heat.ndim == 2:
        rows, cols = heat.shape
        if not (0 <= mark[0] < rows and 0 <= mark[1] < cols):
            raise VitError(f"mark is {mark}, expected (0, 0) to ({rows - 1}, {cols - 1})")
        apart[mark] = True
    return apart


def _entries(
    measured: Scale,
    panel: Panel,
    mark: tuple[int, int] | None,
    sinks: np.ndarray,
    heat: Tensor,
    percent: bool,
    look: Look,
) -> Iterator[legend.Entry]:
    if panel.is_cropped():
        yield legend.Entry("seen by the model", seen_mark)
    if panel.has_border():
        yield legend.Entry("border around the picture", border_mark)
    if mark is not None:
        yield legend.Entry(f"query {mark[0]},{mark[1]}", query_mark)
    if sinks.any():
        set_apart = look.sinks == "set-apart"
        places = np.argwhere(sinks).tolist()
        values = [legend.number(float(heat[row, col]), percent) for row, col in places]
        named = ", ".join(
            f"{row},{col} ({value})" for (row, col), value in zip(places[:3], values, strict=False)
        )
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        words = f"{'sink' if len(places) == 1 else 'sinks'} of attention {named}{more}"
        yield legend.Entry(
            words + (", set apart" if set_apart else ""), apart_mark if set_apart else sink_mark
        )
    yield from legend.entries_of(
        measured,
        sinks,
        percent=percent,
        contours=look.style == "contour",
        clipped=look.style != "contour",
        smooth=look.smooth,
    )
