"""What a training run looks like: its curves, its confusion matrix, its worst mistakes.

Each function returns a matplotlib Figure that belongs to nobody: pyplot and its global state are not used.
`png` and `svg` write one out.
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
WIDTH = 9.0  # inches; at 100 dots per inch the 900 pixels of a README's column
COUNTS_UP_TO = 20  # classes; beyond it numbers no longer fit their cells
LABELS_UP_TO = 50  # classes; beyond it no text is legible
LABEL_LETTERS = 18  # longer names are cut
TILES_PER_ROW = 6

Row = Mapping[str, Any]  # of metrics.csv: numbers, as such or as text; None or "" where nothing was measured


def curves(rows: Sequence[Row]) -> "Figure":
    """Draw loss and accuracy against the epoch, side by side; train light, validation strong.

    Args:
        rows: one mapping per epoch with `epoch`, `seconds` (since the run's start), `train_loss`,
            `val_loss`, and `train_accuracy`, `val_accuracy` in [0, 1]. Values may be missing, None, "" or
            not finite; such points are left out. Other keys are ignored.

    Returns:
        A figure. The best epoch (highest validation accuracy, or lowest validation loss where there is no
        accuracy) is marked; minutes run along the top where `seconds` only grows and passes a minute.
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
                dot = "o" if len(points) == 1 else ""  # one point makes no line
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
    """Draw which class was taken for which: rows are true, columns predicted, colour the share of the row.

    Args:
        matrix: (classes, classes), integers: how many pictures of class `row` were predicted as `column`.
        labels: one name per class. Drawn for up to 50 classes; counts are written for up to 20.

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
    # The square root brings out rare confusions, which a linear scale hides beside the diagonal.
    image = axes.imshow(share, cmap=shades, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    _calm(axes, "")
    axes.grid(visible=False)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)
    if classes <= LABELS_UP_TO:
        size = 9 if classes <= COUNTS_UP_TO else 6.5
        names = [_cut(label) for label in labels]
        upright = max(map(len, names)) * classes > 70  # side by side they would touch
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
        told = f"{correct} of {total} right, {100 * correct / total:.1f} %"
        axes.set_title(told, loc="left", color=INK, fontsize=11)
    return figure


def wrongest(
    pictures: Sequence[Image.Image],
    truths: Sequence[str],
    guesses: Sequence[str],
    scores: Sequence[float],
    names: Sequence[str],
) -> "Figure":
    """Draw the most confidently wrong pictures, in the order given, six to a row.

    Args:
        pictures: any mode and size; small ones keep their square pixels.
        truths: the true label of each.
        guesses: the predicted label of each.
        scores: the predicted probability of `guesses`, in [0, 1].
        names: what to find each by, say its file name.

    Returns:
        A figure; where there is no picture, one that says that none was wrong.

    Raises:
        VitError: the five differ in length.
    """
    given = {"pictures": pictures, "truths": truths, "guesses": guesses, "scores": scores, "names": names}
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        raise VitError(f"wrongest was given {lengths}, expected as many of each")
    if not pictures:
        return _note("No validation picture was wrong.")
    lines = math.ceil(len(pictures) / TILES_PER_ROW)
    figure = _figure(WIDTH, 2.05 * lines)
    tiles = figure.subplots(lines, TILES_PER_ROW, squeeze=False).flatten()
    for axes in tiles:
        axes.set_axis_off()  # of the empty tiles in the last row too
    for index, picture in enumerate(pictures):
        axes, crisp = tiles[index], max(picture.size) < 100
        axes.imshow(picture.convert("RGB"), interpolation="nearest" if crisp else "antialiased")
        told = f"{_cut(truths[index])}\n→ {_cut(guesses[index], 12)}, {100 * scores[index]:.0f} %"
        _plain(axes.set_title(told, loc="left", fontsize=8.5, color=INK, pad=4, linespacing=1.3))
        name = _cut(names[index], 26)
        _plain(axes.text(0, -0.04, name, transform=axes.transAxes, fontsize=6.5, color=FAINT, va="top"))
    return figure


def png(figure: "Figure", *, dpi: int = 200) -> bytes:
    """Return `figure` as a PNG file; the default of 200 dots per inch is twice a README's resolution."""
    file = io.BytesIO()
    with _unseen_glyphs_allowed():
        figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def svg(figure: "Figure") -> str:
    """Return `figure` as an SVG document; the same figure gives the same text, for there is no date in it."""
    from matplotlib import rc_context

    file = io.StringIO()
    with _unseen_glyphs_allowed(), rc_context({"svg.hashsalt": "vit"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


@contextmanager
def _unseen_glyphs_allowed() -> Iterator[None]:
    """Let a label in a script that the font lacks be drawn as boxes without a warning for each letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _note(text: str) -> "Figure":
    """Return a low figure that holds one sentence."""
    figure = _figure(WIDTH, 1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, fontsize=12)
    return figure


def _calm(axes: "Axes", title: str) -> None:
    """Give `axes` the house style: a light grid, no frame, quiet ticks, the title at the left."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=9)


def _mark(axes: "Axes", epoch: float, value: float, told: str) -> None:
    """Ring the best epoch's point and name it above the panel, where no curve can cross the words."""
    if math.isfinite(epoch + value):
        axes.plot([epoch], [value], "o", color="white", mec=ACCENT, mew=2, markersize=7, zorder=5)
        axes.set_title(f"best epoch {epoch:g}: {told}", loc="right", color=ACCENT, fontsize=9.5)


def _minutes_on_top(axes: "Axes", epochs: list[float], seconds: list[float]) -> None:
    """Write whole minutes since the start over the epochs, where the clock only grew and passed a minute."""
    from matplotlib.ticker import MaxNLocator

    clock = [*seconds, *epochs]
    grows = all(earlier < later for earlier, later in pairwise(seconds))
    if len(seconds) < 2 or not grows or seconds[-1] < 60 or not all(map(math.isfinite, clock)):
        return
    ticks = MaxNLocator(nbins=4, integer=True).tick_values(seconds[0] / 60, seconds[-1] / 60)
    ticks = [minute for minute in ticks if seconds[0] <= 60 * minute <= seconds[-1]]
    top = axes.secondary_xaxis("top")
    places = np.interp([60 * minute for minute in ticks], seconds, epochs)
    top.set_xticks(places, [f"{minute:.0f} min" for minute in ticks])
    top.spines[:].set_visible(False)
    top.tick_params(colors=FAINT, length=0, labelsize=8)


def _column(rows: Sequence[Row], key: str) -> list[float]:
    """Return the values under `key`; NaN, which matplotlib leaves out, for what is missing or infinite."""
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
    """Return `text` in at most `letters` letters, on one line, an ellipsis in its middle where cut."""
    text = one_line(text)
    if len(text) <= letters:
        return text
    return text[: letters // 2] + "…" + text[len(text) - (letters - 1) // 2 :]


def _plain(text: "Text") -> None:
    """Take dollar signs in a label for dollar signs, not for mathematics."""
    text.set_parse_math(False)
