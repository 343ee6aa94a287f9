"""Plots of a training run: loss and accuracy curves, confusion matrix, most confident mistakes.

Each function returns a matplotlib Figure without pyplot, whose global state would keep every figure alive.
`png` and `svg` turn one into a file.
"""

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from vit.errors import VitError
from vit.viewer.fonts import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

ACCENT, INK, FAINT, GRID = "#2f6fb5", "#22262c", "#7a828c", "#e6e8eb"
WIDTH = 9.0  # inches; 900 pixels, the width of a README, at 100 dots per inch
COUNTS_UP_TO = 20  # classes; with more, numbers do not fit into their cells
LABELS_UP_TO = 50  # classes; with more, no text is legible
LABEL_LETTERS = 18  # maximum length of a label; longer ones are shortened
TILES_PER_ROW = 6

Row = Mapping[str, Any]  # of metrics.csv: numbers or strings of them; None or "" where nothing was measured


def curves(rows: Sequence[Row]) -> "Figure":
    """Draw loss and accuracy against the epoch, side by side; training in a lighter line than validation.

    Args:
        rows: One mapping per epoch with `epoch`, `seconds` (since the start of the run), `train_loss`,
            `val_loss`, and `train_accuracy`, `val_accuracy` in [0, 1]. Values may be missing, None, "" or
            not finite; such points are left out. Other keys are ignored.

    Returns:
        A figure. The best epoch (highest validation accuracy, or lowest validation loss where there is no
        accuracy) is marked. A top axis shows minutes if `seconds` increases throughout and exceeds a minute.
    """
    if not rows:
        return _note("No epoch was finished.")
    figure = _figure(WIDTH, 3.7)
    loss, accuracy = figure.subplots(1, 2, gridspec_kw={"wspace": 0.07})
    epochs, seconds = _column(rows, "epoch"), _column(rows, "seconds")
    best = _best(rows)
    for axes, key, scale, unit in ((loss, "loss", 1, ""), (accuracy, "accuracy", 100, " %")):
        _calm(axes, key + unit.replace(" ", ", "))
        axes.set_xlabel("epoch", color=FAINT)
        for part, name, strength, width in (("train", "train", 0.45, 1.2), ("val", "validation", 1.0, 2.2)):
            # Points without a value are dropped, not drawn as gaps: validation may run every other epoch.
            points = [(x, scale * y) for x, y in zip(epochs, _column(rows, f"{part}_{key}"), strict=True)]
            points = [point for point in points if math.isfinite(sum(point))]
            if points:
                dot = "o" if len(points) == 1 else ""  # a line needs two points
                x, y = zip(*points, strict=True)
                axes.plot(x, y, color=ACCENT, alpha=strength, linewidth=width, marker=dot, label=name)
        if axes.lines:
            axes.legend(frameon=False, labelcolor=INK, loc="upper right" if key == "loss" else "lower right")
        if best is not None:
            value = scale * _column(rows, f"val_{key}")[best]
            _mark(axes, epochs[best], value, f"{value:.1f} %" if unit else f"{value:.3g}")
        if len(rows) == 1 and math.isfinite(epochs[0]):
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _minutes_on_top(axes, epochs, seconds)
    return figure


def confusion(matrix: Tensor, labels: Sequence[str]) -> "Figure":
    """Draw the confusion matrix: rows are true classes, columns predicted ones, color the share of the row.

    Args:
        matrix: (classes, classes), integers: how many examples of class `row` were predicted as `column`.
        labels: One name per class. Drawn for up to 50 classes; counts are written for up to 20.

    Raises:
        VitError: `matrix` is not square, or `labels` does not name each of its classes.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise VitError(f"confusion matrix has shape {tuple(matrix.shape)}, expected (classes, classes)")
    classes = matrix.shape[0]
    if len(labels) != classes:
        raise VitError(
            f"confusion matrix has {classes} classes and {len(labels)} labels, expected one for each"
        )
    counts = matrix.detach().cpu()
    share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).numpy()

    figure = _figure(7.8, 6.8)
    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("shades", ["#ffffff", ACCENT, "#12304f"])
    # The square root makes rare confusions visible, which a linear scale would hide beside the diagonal.
    image = axes.imshow(share, cmap=shades, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    _calm(axes, "")
    axes.grid(visible=False)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)
    if classes <= LABELS_UP_TO:
        size = 9 if classes <= COUNTS_UP_TO else 6.5
        names = [_cut(label) for label in labels]
        upright = max(map(len, names)) * classes > 70  # horizontal labels would touch
        axes.set_xticks(range(classes), names, fontsize=size, rotation=90 if upright else 0)
        axes.set_yticks(range(classes), names, fontsize=size)
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            _plain(text)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if classes <= COUNTS_UP_TO:
        for row, column in counts.nonzero().tolist():
            ink = "white" if share[row, column] > 0.2 else INK
            count, size = str(counts[row, column].item()), 9 if classes <= 12 else 7
            axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=size)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.02, ticks=[0, 0.05, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "5 %", "25 %", "50 %", "100 %"])
    bar.ax.tick_params(colors=FAINT, length=0, labelsize=8)
    bar.outline.set_visible(False)
    correct, total = int(counts.diagonal().sum()), int(counts.sum())
    if total:
        title = f"{correct} of {total} right, {100 * correct / total:.1f} %"
        axes.set_title(title, loc="left", color=INK, fontsize=11)
    return figure


def wrongest(
    pictures: Sequence[Image.Image],
    truths: Sequence[str],
    guesses: Sequence[str],
    scores: Sequence[float],
    names: Sequence[str],
) -> "Figure":
    """Draw wrongly classified images with their labels, in the order given, six to a row.

    Args:
        pictures: Images of any mode and size; small ones are enlarged without interpolation.
        truths: The true label of each.
        guesses: The predicted label of each.
        scores: The predicted probability of `guesses`, in [0, 1].
        names: An identifier of each, for example its file name.

    Returns:
        A figure; without images, one with the sentence that none was wrong.

    Raises:
        VitError: The five sequences differ in length.
    """
    given = {"pictures": pictures, "truths": truths, "guesses": guesses, "scores": scores, "names": names}
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        raise VitError(f"the arguments of wrongest have lengths {lengths}, expected the same for all")
    if not pictures:
        return _note("No validation picture was wrong.")
    lines = math.ceil(len(pictures) / TILES_PER_ROW)
    figure = _figure(WIDTH, 2.05 * lines)
    tiles = figure.subplots(lines, TILES_PER_ROW, squeeze=False).flatten()
    for axes in tiles:
        axes.set_axis_off()  # also of empty tiles in the last row
    for index, picture in enumerate(pictures):
        axes, crisp = tiles[index], max(picture.size) < 100
        axes.imshow(picture.convert("RGB"), interpolation="nearest" if crisp else "antialiased")
        title = f"{_cut(truths[index])}\n→ {_cut(guesses[index], 12)}, {100 * scores[index]:.0f} %"
        _plain(axes.set_title(title, loc="left", fontsize=8.5, color=INK, pad=4, linespacing=1.3))
        name = _cut(names[index], 26)
        _plain(axes.text(0, -0.04, name, transform=axes.transAxes, fontsize=6.5, color=FAINT, va="top"))
    return figure


def png(figure: "Figure", *, dpi: int = 200) -> bytes:
    """Return `figure` as the bytes of a PNG file, by default at twice the resolution of a README."""
    file = io.BytesIO()
    with _missing_glyphs_allowed():
        figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def svg(figure: "Figure") -> str:
    """Return `figure` as an SVG document, without a date in it: equal figures give equal text."""
    from matplotlib import rc_context

    file = io.StringIO()
    with _missing_glyphs_allowed(), rc_context({"svg.hashsalt": "vit"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


@contextmanager
def _missing_glyphs_allowed() -> Iterator[None]:
    """Silence matplotlib's warnings for characters that its font lacks, which it draws as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _note(text: str) -> "Figure":
    """Return a figure with one line of text."""
    figure = _figure(WIDTH, 1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, fontsize=12)
    return figure


def _calm(axes: "Axes", title: str) -> None:
    """Style `axes`: a light grid, no frame, no tick marks, the title at the left."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=9)


def _mark(axes: "Axes", epoch: float, value: float, text: str) -> None:
    """Mark the point of the best epoch and write `text` above the panel, where no curve crosses it."""
    if math.isfinite(epoch + value):
        axes.plot([epoch], [value], "o", color="white", mec=ACCENT, mew=2, markersize=7, zorder=5)
        axes.set_title(f"best epoch {epoch:g}: {text}", loc="right", color=ACCENT, fontsize=9.5)


def _minutes_on_top(axes: "Axes", epochs: list[float], seconds: list[float]) -> None:
    """Show minutes since the start on a top axis, if `seconds` increases throughout and exceeds a minute."""
    from matplotlib.ticker import MaxNLocator

    increasing = all(earlier < later for earlier, later in pairwise(seconds))
    finite = all(map(math.isfinite, [*seconds, *epochs]))
    if len(seconds) < 2 or not increasing or seconds[-1] < 60 or not finite:
        return
    ticks = MaxNLocator(nbins=4, integer=True).tick_values(seconds[0] / 60, seconds[-1] / 60)
    ticks = [minute for minute in ticks if seconds[0] <= 60 * minute <= seconds[-1]]
    top = axes.secondary_xaxis("top")
    positions = np.interp([60 * minute for minute in ticks], seconds, epochs)
    top.set_xticks(positions, [f"{minute:.0f} min" for minute in ticks])
    top.spines[:].set_visible(False)
    top.tick_params(colors=FAINT, length=0, labelsize=8)


def _column(rows: Sequence[Row], key: str) -> list[float]:
    """Return the values of `key`; NaN, which matplotlib leaves out, where they are missing or infinite."""
    values = (row.get(key) for row in rows)
    numbers = [math.nan if value is None or value == "" else float(value) for value in values]
    return [number if math.isfinite(number) else math.nan for number in numbers]


def _best(rows: Sequence[Row]) -> int | None:
    """Return the index of the first best row: by validation accuracy, else by validation loss."""
    for key, sign in (("val_accuracy", 1), ("val_loss", -1)):
        values = _column(rows, key)
        measured = [index for index, value in enumerate(values) if math.isfinite(value)]
        if measured:
            return max(measured, key=lambda index: sign * values[index])
    return None


def _cut(text: str, letters: int = LABEL_LETTERS) -> str:
    """Return `text` on one line of at most `letters` letters; an ellipsis replaces what is cut out."""
    text = one_line(text)
    if len(text) <= letters:
        return text
    return text[: letters // 2] + "…" + text[len(text) - (letters - 1) // 2 :]


def _plain(text: "Text") -> None:
    """Draw dollar signs in a label as they are, not as the delimiters of a formula."""
    text.set_parse_math(False)
