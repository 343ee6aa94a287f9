"""Plots of what a model gets right and wrong: confusion matrix, classes, reliability, mistakes.

Each function returns a matplotlib Figure; `vit.evaluation.plots.drawing` turns one into a file.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from rich.cells import cell_len
from torch import Tensor

from vit.errors import VitError
from vit.evaluation.calibration import Reliability
from vit.evaluation.classes import ClassFigures, class_figures, wilson_interval
from vit.evaluation.plots.drawing import (
    ACCENT,
    FAINT,
    GRID,
    INK,
    WIDTH,
    add_note,
    calm,
    class_names,
    cut,
    figure,
    note,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECOND = "#c8702a"  # of two series; also told from ACCENT by those who see few colors
PALE = "#c9dcf0"  # ACCENT for areas
COUNTS_UP_TO = 20  # classes; with more, numbers do not fit into their cells
LABELS_UP_TO = 50  # classes; with more, no text is legible
ROWS_UP_TO = 40  # classes of which each gets a row
TILES_PER_ROW = 6


def confusion(matrix: Tensor, labels: Sequence[str]) -> "Figure":
    """Draw the confusion matrix: rows are true classes, columns predicted ones, color the share of the row.

    Args:
        matrix: (classes, classes), integers: how many examples of class `row` were predicted as `column`.
        labels: One name per class. Drawn for up to 50 classes; counts are written for up to 20.

    Raises:
        VitError: `matrix` is not square, or `labels` does not name each of its classes.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    counts = _square(matrix, labels)
    share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).numpy()
    canvas = figure(7.8, 6.8)
    axes = canvas.subplots()
    shades = LinearSegmentedColormap.from_list("shades", ["#ffffff", ACCENT, "#12304f"])
    # The square root makes rare confusions visible, which a linear scale would hide beside the diagonal.
    image = axes.imshow(share, cmap=shades, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    calm(axes, "")
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=GRID)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)
    _name_both_axes(canvas, axes, labels)
    if len(counts) <= COUNTS_UP_TO:
        _write_counts(axes, counts)
    bar = canvas.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.02, ticks=[0, 0.05, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "5 %", "25 %", "50 %", "100 %"])
    bar.ax.tick_params(colors=FAINT, length=0, labelsize=8)
    bar.outline.set_visible(False)
    correct, total = int(counts.diagonal().sum()), int(counts.sum())
    if total:
        title = f"{correct} of {total} right, {100 * correct / total:.1f} %"
        axes.set_title(title, loc="left", color=INK, fontsize=11)
    return canvas


def classes(matrix: Tensor, labels: Sequence[str]) -> "Figure":
    """Draw precision, recall and F1 of each class that has examples, the lowest F1 first.

    Args:
        matrix: As for `confusion`.
        labels: One name per class. Of more than 40 classes those with the lowest F1 are drawn.

    Raises:
        VitError: As `confusion`.
    """
    return class_bars(class_figures(_square(matrix, labels)), labels)


def class_bars(figures: ClassFigures, labels: Sequence[str]) -> "Figure":
    """As `classes`, from the figures themselves.

    Args:
        figures: Of each class.
        labels: As for `classes`.
    """
    present = figures.n.nonzero()[:, 0]
    if not len(present):
        return note("No class has examples.")
    order = present[figures.f1[present].argsort(stable=True)][:ROWS_UP_TO]
    canvas = figure(WIDTH, 1.1 + 0.24 * len(order))
    axes = canvas.subplots()
    left_out = len(present) - len(order)
    calm(axes, f"The {len(order)} classes with the lowest F1, of {len(present)}" if left_out else "")
    axes.grid(visible=False, axis="y")
    places = range(len(order))
    percent = [(100 * values[order]).tolist() for values in (figures.precision, figures.recall, figures.f1)]
    axes.barh(places, percent[2], color=PALE, height=0.72, label="F1")
    axes.plot(percent[0], places, "o", color=ACCENT, markersize=5, label="precision")
    axes.plot(percent[1], places, "D", color=SECOND, markersize=4, label="recall")
    for place, n in zip(places, figures.n[order].tolist(), strict=True):
        axes.text(1.01, place, f"n = {n:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5,
                  color=FAINT)  # fmt: skip
    names = class_names(labels, canvas)
    axes.set_yticks(places, [names[index] for index in order.tolist()])
    for text in axes.get_yticklabels():
        text.set_color(INK)
        plain(text)
    axes.set_xlim(0, 101)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel("%", color=FAINT)
    handles, words = axes.get_legend_handles_labels()
    axes.legend(handles, words, ncols=3, frameon=False, labelcolor=INK, fontsize=9, loc="lower right",
                bbox_to_anchor=(1, 1), borderaxespad=0.2)  # fmt: skip
    return canvas


def reliability_diagram(
    model: Reliability, scaled: Reliability | None = None, temperature: float | None = None
) -> "Figure":
    """Draw accuracy against score, and how many predictions have which score (Guo et al. 2017, figure 1).

    Args:
        model: Of the scores of the model; its points have 95 % intervals.
        scaled: Of the same predictions with a temperature; None: there is none.
        temperature: That one.
    """
    canvas = figure(WIDTH, 5.2)
    above, below = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    calm(above, "accuracy, %")
    calm(below, "share of the predictions, %")
    above.plot(
        [0, 100], [0, 100], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated"
    )
    series = [("scores of the model", ACCENT, "o", model)]
    if scaled is not None:
        series.append((f"with temperature {temperature:.3g}", SECOND, "D", scaled))
    for name, color, marker, bins in series:
        filled = bins.counts > 0
        score, accuracy = (100 * bins.scores[filled]).tolist(), (100 * bins.accuracy[filled]).tolist()
        label = f"{name}:\ncalibration error {100 * bins.error:.1f} %"
        above.plot(score, accuracy, marker=marker, color=color, linewidth=1.6, markersize=4.5, label=label)
        edges = torch.linspace(0, 100, len(bins.counts) + 1).tolist()
        share = (100 * bins.counts / bins.counts.sum()).tolist()
        below.stairs(share, edges, color=color, fill=bins is model and scaled is None, linewidth=1.6)
    _intervals(above, model)
    above.set_ylim(-2, 102)
    # Beside the panel: the curves and their intervals may be anywhere in it.
    above.legend(frameon=False, labelcolor=INK, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))
    below.set_xlim(-1, 101)
    below.set_xlabel("score of the predicted class, %", color=FAINT)
    return canvas


def wrongest(
    pictures: Sequence[Image.Image],
    truths: Sequence[str],
    guesses: Sequence[str],
    scores: Sequence[float],
    names: Sequence[str],
    remark: str = "",
) -> "Figure":
    """Draw wrongly classified images with their labels, in the order given, six to a row.

    Args:
        pictures: Images of any mode and size; small ones are enlarged without interpolation.
        truths: The true label of each.
        guesses: The predicted label of each.
        scores: The predicted probability of `guesses`, in [0, 1].
        names: An identifier of each, for example its file name.
        remark: A line below.

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
        return note("No example was wrong.")
    lines = math.ceil(len(pictures) / TILES_PER_ROW)
    canvas = figure(WIDTH, 2.05 * lines)
    tiles = canvas.subplots(lines, TILES_PER_ROW, squeeze=False).flatten()
    for axes in tiles:
        axes.set(xticks=[], yticks=[])  # not drawn anyway, and slow to lay out
        axes.set_axis_off()  # also of empty tiles in the last row
    for index, picture in enumerate(pictures):
        axes, crisp = tiles[index], max(picture.size) < 100
        axes.imshow(picture.convert("RGB"), interpolation="nearest" if crisp else "antialiased")
        title = f"{cut(truths[index])}\n→ {cut(guesses[index], 12)}, {100 * scores[index]:.0f} %"
        plain(axes.set_title(title, loc="left", fontsize=8.5, color=INK, pad=4, linespacing=1.3))
        name = cut(names[index], 26)
        plain(axes.text(0, -0.04, name, transform=axes.transAxes, fontsize=6.5, color=FAINT, va="top"))
    if remark:
        add_note(canvas, remark)
    return canvas


def _square(matrix: Tensor, labels: Sequence[str]) -> Tensor:
    """The confusion matrix on the CPU, checked."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise VitError(f"confusion matrix has shape {tuple(matrix.shape)}, expected (classes, classes)")
    if len(labels) != len(matrix):
        raise VitError(
            f"confusion matrix has {len(matrix)} classes and {len(labels)} labels, expected one for each"
        )
    return matrix.detach().cpu()


def _name_both_axes(canvas: "Figure", axes: "Axes", labels: Sequence[str]) -> None:
    """Write the class names of a confusion matrix, if there are few enough to be legible."""
    if len(labels) > LABELS_UP_TO:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    size = 9 if len(labels) <= COUNTS_UP_TO else 6.5
    names = class_names(labels, canvas)
    upright = max(map(cell_len, names)) * len(names) > 70  # horizontal labels would touch
    axes.set_xticks(range(len(names)), names, fontsize=size, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        plain(text)


def _write_counts(axes: "Axes", counts: Tensor) -> None:
    """Write the number of examples into the cells of a confusion matrix."""
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    for row, column in counts.nonzero().tolist():
        ink = "white" if share[row, column] > 0.2 else INK
        size = 9 if len(counts) <= 12 else 7
        axes.text(column, row, str(counts[row, column].item()), ha="center", va="center", color=ink,
                  fontsize=size)  # fmt: skip


def _intervals(axes: "Axes", bins: Reliability) -> None:
    """Draw the 95 % interval of the accuracy of each bin."""
    for score, accuracy, n in zip(*(values.tolist() for values in bins), strict=True):
        if n:
            low, high = wilson_interval(round(accuracy * n), n)
            axes.plot([100 * score] * 2, [100 * low, 100 * high], color=ACCENT, linewidth=1, alpha=0.5)
