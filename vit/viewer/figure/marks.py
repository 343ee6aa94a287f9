"""Marks in a panel and in the legend: query, sinks, values beyond the range of colors, what was seen."""

from collections.abc import Iterator

import numpy as np

from vit.viewer.figure.panel import BORDER, EDGE, LIGHT, Panel, framed
from vit.viewer.figure.parts import RGBA, Part, Shape, rectangle
from vit.viewer.scale import Scale

SINK: RGBA = (64, 224, 255, 255)  # a color that the map's colors do not have
DARK: RGBA = (20, 22, 26, 255)
PALE: RGBA = (255, 255, 255, 170)


def query_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A light frame."""
    yield from framed(corners, stroke, LIGHT)


def sink_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A blue frame."""
    yield from framed(corners, stroke, SINK)


def apart_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A blue frame with a diagonal, for a sink without a color."""
    start, end = corners[3] + (stroke, -stroke), corners[1] + (-stroke, stroke)
    yield Shape(np.stack([start, end]), line=EDGE, width=2 * stroke, closed=False)
    yield Shape(np.stack([start, end]), line=SINK, width=stroke, closed=False)
    yield from sink_mark(corners, stroke)


def above_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A dark triangle in the upper right corner: these patches have the lightest color."""
    yield from _triangle(corners[1], (-1, 1), _leg(corners, stroke), DARK, PALE)


def below_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A light triangle in the lower left corner: these have the darkest."""
    yield from _triangle(corners[3], (1, -1), _leg(corners, stroke), LIGHT, EDGE)


def seen_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A frame on faded grey, as around what the model saw."""
    yield Shape(corners, fill=(196, 199, 204, 255))
    low, high = corners[0], corners[2]
    inset = (high - low) * 0.2
    inner = rectangle(*(low + inset).round(), *(high - inset).round())
    yield Shape(inner, fill=(110, 114, 120, 255))
    yield Shape(inner, line=LIGHT, width=stroke)


def border_mark(corners: np.ndarray, stroke: float) -> Iterator[Part]:
    """A piece of the border around a picture."""
    yield Shape(corners, fill=BORDER)


def patch_marks(
    scale: Scale,
    panel: Panel,
    x: float,
    y: float,
    stroke: float,
    *,
    query: tuple[int, int] | None = None,
    sinks: np.ndarray | None = None,
    set_apart: bool = False,
    clipped: bool = True,
) -> Iterator[Part]:
    """The marks of a panel at (x, y).

    Args:
        scale: The map's.
        panel: Where its patches are.
        x: Of the panel, as `y`.
        y: See `x`.
        stroke: Width of lines in pixels.
        query: (row, col)
        sinks: bool (rows, cols)
        set_apart: Whether sinks have no color.
        clipped: Whether values beyond the range of colors are marked.
    """
    columns, rows = (edges.round() for edges in panel.edges(*scale.values.shape))

    def corners(row: int, col: int) -> np.ndarray:
        return np.add(rectangle(columns[col], rows[row], columns[col + 1], rows[row + 1]), (x, y))

    sinks = np.zeros(scale.values.shape, dtype=bool) if sinks is None else sinks
    if clipped:
        for cells, mark in ((scale.above, above_mark), (scale.below, below_mark)):
            for row, col in np.argwhere(cells.numpy() & ~sinks).tolist():
                yield from mark(corners(row, col), stroke)
    for row, col in np.argwhere(sinks).tolist():
        yield from (apart_mark if set_apart else sink_mark)(corners(row, col), stroke)
    if query is not None:
        yield from query_mark(corners(*query), stroke)


def _leg(corners: np.ndarray, stroke: float) -> float:
    """Of the triangles: a third of a patch, but no larger than is needed to see it."""
    return min((corners[2] - corners[0]).min() / 3, 7 * stroke)


def _triangle(
    corner: np.ndarray, inward: tuple[int, int], leg: float, ink: RGBA, edge: RGBA
) -> Iterator[Part]:
    legs = np.array([(0, 0), (inward[0], 0), (0, inward[1])])
    yield Shape(corner + legs * (leg + 2), fill=edge)
    yield Shape(corner + legs * leg, fill=ink)
