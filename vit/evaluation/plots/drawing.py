"""What plots share: their size, colors and fonts, and the files that they become.

Figures are made without pyplot, whose global state would keep every one alive.
"""

import io
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from vit.viewer.fonts import ELLIPSIS, boxed, missing, one_line, text_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

ACCENT, INK, FAINT, GRID = "#2f6fb5", "#22262c", "#7a828c", "#e6e8eb"
WIDTH = 9.0  # inches; 900 pixels, the width of a README, at 100 dots per inch
LABEL_CELLS = 18  # maximum width of a label, in Latin letters; longer ones are shortened
NUMBERED = "class names are numbered: no font has their characters"


def figure(width: float, height: float) -> "Figure":
    """Return an empty white figure; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def note(text: str) -> "Figure":
    """Return a figure with one line of text."""
    empty = figure(WIDTH, 1.2)
    empty.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, fontsize=12)
    return empty


def calm(axes: "Axes", title: str) -> None:
    """Style `axes`: a light grid, no frame, no tick marks, the title at the left."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=9)


def plain(text: "Text") -> None:
    """Draw a text from outside as it is: dollar signs are no formula, and any script that a font has.

    A character that no font has becomes a box.
    """
    words = boxed(text.get_text())
    text.set_text(words)
    text.set_parse_math(False)
    fonts = text_fonts(words)
    if len(fonts) > 1:  # the first one is matplotlib's default
        text.set_fontfamily([_family(file) for file in fonts])


def class_names(labels: Sequence[str], canvas: "Figure") -> list[str]:
    """Return the labels as a plot shows them; where some are numbers, a line below `canvas` says so."""
    names = drawable_names(labels)
    if names != list(labels):
        add_note(canvas, NUMBERED)
    return short_names(names)


def drawable_names(labels: Sequence[str]) -> list[str]:
    """Return the labels, each as its number (`#3`) where no font has its characters."""
    return [f"#{i}" if missing(one_line(label)) else label for i, label in enumerate(labels)]


def add_note(canvas: "Figure", text: str) -> None:
    """Write a small line below a figure."""
    canvas.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color=FAINT)


def short_names(labels: Sequence[str], cells: int = LABEL_CELLS) -> list[str]:
    """Return the labels as `cut` gives them; those that would be the same then end in their number."""
    names = [cut(label, cells) for label in labels]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{cut(labels[i], cells - len(f' #{i}'))} #{i}"
        for i, name in enumerate(names)
    ]


def cut(text: str, cells: int = LABEL_CELLS) -> str:
    """Return `text` on one line, at most `cells` Latin letters wide; an ellipsis replaces what is cut out.

    Chinese, Japanese and Korean characters are two wide.
    """
    text = one_line(text)
    if cell_len(text) <= cells:
        return text
    head = set_cell_size(text, cells // 2).rstrip()
    tail = set_cell_size(text[::-1], (cells - 1) // 2)[::-1].lstrip()
    return head + ELLIPSIS + tail


def png(canvas: "Figure", *, dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a PNG file, by default at twice the resolution of a README."""
    file = io.BytesIO()
    canvas.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def svg(canvas: "Figure") -> str:
    """Return a figure as an SVG document, without a date in it: equal figures give equal text."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "vit"}):
        canvas.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


@cache
def _family(file: Path) -> str:
    """The name by which matplotlib knows a font, which is made known to it: its list of fonts may be old."""
    from matplotlib.font_manager import FontProperties, fontManager

    fontManager.addfont(file)
    return FontProperties(fname=str(file)).get_name()
