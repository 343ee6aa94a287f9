"""The color bar of a figure, and the line that says what its marks mean."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from vit.viewer.colors import FAINT, FLAT, INK
from vit.viewer.figure.heat import CONTOURS, Colors
from vit.viewer.figure.marks import above_mark, below_mark
from vit.viewer.figure.parts import Part, Picture, Shape, Words, rectangle
from vit.viewer.scale import SHARE, Scale

STEPS = 256  # colors of the bar, as many as there are
Measure = Callable[[str, float], float]  # width of a text of a size, in pixels


class Entry(NamedTuple):
    """A part of the legend.

    Args:
        words: What it says.
        swatch: (corners of a square, stroke) -> its mark; None: words alone.
    """

    words: str
    swatch: Callable[[np.ndarray, float], Iterator[Part]] | None = None


def number(value: float, percent: bool) -> str:
    """Three digits; of a share in percent."""
    return f"{100 * value:.3g} %" if percent else f"{value:.3g}"


def bar_width(scale: Scale, size: float, percent: bool, measure: Measure) -> float:
    """Pixels of a bar with its words."""
    words = [word for word, *_ in _ends(scale, percent)]
    usual = ("-0.000123", f"{100 * SHARE:.0f}th pct.")  # so that nearly all figures have the same width
    return 1.3 * size + max(measure(word, size) for word in (*usual, *words))


def bar(
    colors: Colors, scale: Scale, x: float, y: float, height: float, size: float, *, percent: bool
) -> Iterator[Part]:
    """The colors from the lowest value at the bottom to the highest at the top, with both named.

    An end with an arrow is a percentile, beyond which there are values.
    """
    width, arrow = round(0.9 * size), round(0.8 * size)
    cut_top, cut_bottom = bool(scale.above.any()), bool(scale.below.any())
    top, bottom = y + arrow * cut_top, y + height - arrow * cut_bottom
    flat = scale.high <= scale.low
    ramp = torch.full((1, 1), FLAT) if flat else torch.linspace(1, 0, STEPS)[:, None]
    cells = colors(ramp)
    yield Picture(Image.fromarray(cells), round(x), round(top), width, round(bottom) - round(top))
    right, middle = x + width, x + width / 2
    upper = [(x, top), *([(middle, y)] if cut_top else []), (right, top)]
    lower = [(right, bottom), *([(middle, y + height)] if cut_bottom else []), (x, bottom)]
    for cut, arrow_end, cell in ((cut_top, upper, cells[0]), (cut_bottom, lower, cells[-1])):
        if cut:
            yield Shape(np.array(arrow_end), fill=tuple(cell[0].tolist()))
    yield Shape(np.array(upper + lower), line=(*FAINT, 255), width=1)
    for text, place, anchor, ink in _ends(scale, percent):
        at = {"t": top, "m": (top + bottom) / 2, "b": bottom}[anchor]
        line = place * 1.15 * size
        yield Words(text, right + 0.4 * size, at + line, size, ink, "l" + anchor)


def entries_of(
    scale: Scale, sinks: np.ndarray, *, percent: bool, contours: bool, clipped: bool, smooth: bool
) -> Iterator[Entry]:
    """What the legend says of the map itself; sinks (rows, cols) have an entry of their own."""
    if contours:
        for share, ink, thickness in CONTOURS[::-1]:
            yield Entry(f"highest {100 * share:.0f} % of patches", _line(ink, thickness))
    if clipped:
        for cells, mark, words, farthest in (
            (scale.above, above_mark, "above the scale, up to", np.max),
            (scale.below, below_mark, "below the scale, down to", np.min),
        ):
            marked = scale.heat.numpy()[cells.numpy() & ~sinks]
            if marked.size:
                count = f"{marked.size} {'patch' if marked.size == 1 else 'patches'}"
                value = number(float(farthest(marked)), percent)
                yield Entry(f"{count} {words} {value}", _on_color(mark))
    if smooth:
        yield Entry("smoothed between patches")


def lines_of(entries: Sequence[Entry], size: float, width: float, measure: Measure) -> list[list[Entry]]:
    """The entries in lines of at most `width` pixels."""
    lines: list[list[Entry]] = []
    left = 0.0
    for entry in entries:
        room = _room(entry, size, measure)
        if not lines or left + room > width:
            lines.append([])
            left = 0.0
        lines[-1].append(entry)
        left += room + size
    return lines


def legend_line(
    entries: Sequence[Entry], x: float, y: float, size: float, stroke: float, measure: Measure
) -> Iterator[Part]:
    """One line of entries; `y` is its middle."""
    for entry in entries:
        left = x
        if entry.swatch is not None:
            top = round(y - 0.5 * size)
            yield from entry.swatch(
                rectangle(round(x), top, round(x) + round(size), top + round(size)), stroke
            )
            left += 1.4 * size
        yield Words(entry.words, left, y, size, FAINT)
        x += _room(entry, size, measure) + size


def _room(entry: Entry, size: float, measure: Measure) -> float:
    return measure(entry.words, size) + (0 if entry.swatch is None else 1.4 * size)


def _line(ink: tuple[int, int, int, int], width: float) -> Callable[[np.ndarray, float], Iterator[Part]]:
    """A piece of a contour on grey."""

    def swatch(corners: np.ndarray, stroke: float) -> Iterator[Part]:
        yield Shape(corners, fill=(120, 124, 130, 255))
        middle = corners[[0, 1]] + (0, (corners[2, 1] - corners[0, 1]) / 2)
        yield Shape(middle, line=ink, width=width * stroke, closed=False)

    return swatch


def _on_color(mark: Callable[[np.ndarray, float], Iterator[Part]]) -> Callable[..., Iterator[Part]]:
    def swatch(corners: np.ndarray, stroke: float) -> Iterator[Part]:
        yield Shape(corners, fill=(196, 120, 40, 255))
        yield from mark(corners, stroke)

    return swatch


def _ends(scale: Scale, percent: bool) -> Iterator[tuple[str, float, str, tuple[int, int, int]]]:
    """Words of the bar, their line from the end, anchor, and ink."""
    if scale.high <= scale.low:
        yield number(scale.low, percent), 0, "m", INK
        return
    yield number(scale.high, percent), 0, "t", INK
    if scale.above.any():
        yield f"{100 * SHARE:.0f}th pct.", 1, "t", FAINT
    if scale.below.any():
        yield f"{100 * (1 - SHARE):.0f}nd pct.", -1, "b", FAINT
    yield number(scale.low, percent), 0, "b", INK
