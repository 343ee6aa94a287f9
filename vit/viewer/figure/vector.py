"""A figure as SVG or PDF, for print: cells, contours, marks and words are vectors, photographs are embedded.

A smoothed map is an image too: neither format has gradients between four corners.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vit.viewer.figure.parts import RGBA, Cells, Drawing, Picture, Shape, Words
from vit.viewer.fonts import text_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS = 100  # pixels of a figure per inch
POINTS = 72 / DOTS
FORMATS = ("svg", "pdf")
HORIZONTAL = {"l": "left", "m": "center", "r": "right"}
VERTICAL = {"t": "top", "m": "center", "b": "bottom"}
# The same figure gives the same bytes: no date, no random ids. Words are outlines in SVG, and a font in PDF.
SETTINGS: Any = {"svg.hashsalt": "vit", "svg.fonttype": "path", "pdf.fonttype": 42}
METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save_vector(drawing: Drawing, file: Path) -> None:
    """Write the figure to a file that ends in `.svg` or `.pdf`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    kind = file.suffix[1:]
    with rc_context(SETTINGS):
        figure = Figure((drawing.width / DOTS, drawing.height / DOTS), dpi=DOTS, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
        axes.set_axis_off()
        for layer, part in enumerate(drawing.parts):
            _add(axes, part, layer)
        axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0), aspect="auto")  # as images change them
        figure.savefig(file, format=kind, dpi=DOTS, metadata=METADATA[kind])


def _add(axes: "Axes", part: Any, layer: int) -> None:
    if isinstance(part, Picture):
        _add_picture(axes, part, layer)
    elif isinstance(part, Cells):
        _add_cells(axes, part, layer)
    elif isinstance(part, Shape):
        _add_shape(axes, part, layer)
    else:
        _add_words(axes, part, layer)


def _add_picture(axes: "Axes", part: Picture, layer: int) -> None:
    axes.imshow(
        np.asarray(part.image),
        extent=(part.left, part.left + part.width, part.top + part.height, part.top),
        interpolation="none",
        zorder=layer,
    )


def _add_cells(axes: "Axes", part: Cells, layer: int) -> None:
    from matplotlib.collections import PolyCollection

    (left, right), (top, bottom) = (
        (np.tile(part.columns[:-1], len(part.rows) - 1), np.tile(part.columns[1:], len(part.rows) - 1)),
        (part.rows[:-1].repeat(len(part.columns) - 1), part.rows[1:].repeat(len(part.columns) - 1)),
    )
    corners = np.stack(
        [np.stack([x, y], -1) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))], 1
    )
    colors = part.colors.reshape(-1, 4) / 255
    axes.add_collection(PolyCollection(list(corners), facecolors=colors, edgecolors="none", zorder=layer))


def _add_shape(axes: "Axes", part: Shape, layer: int) -> None:
    from matplotlib.patches import Polygon

    axes.add_patch(
        Polygon(
            part.points,
            closed=part.closed,
            facecolor=_unit(part.fill),
            edgecolor=_unit(part.line),
            linewidth=part.width * POINTS if part.line else 0,
            joinstyle="round",
            zorder=layer,
        )
    )


def _add_words(axes: "Axes", part: Words, layer: int) -> None:
    text = axes.text(
        part.x,
        part.y,
        part.text,
        color=np.array(part.ink) / 255,
        fontsize=part.size * POINTS,
        ha=HORIZONTAL[part.anchor[0]],
        va=VERTICAL[part.anchor[1]],
        zorder=layer,
        parse_math=False,
    )
    fonts = text_fonts(part.text)
    if len(fonts) > 1:
        text.set_fontfamily([_family(file) for file in fonts])


def _unit(color: RGBA | None) -> Any:
    return "none" if color is None else tuple(np.array(color) / 255)


def _family(file: Path) -> str:
    """The name by which matplotlib knows the font of a file."""
    from matplotlib.font_manager import fontManager, get_font

    fontManager.addfont(file)
    return get_font(file).family_name
