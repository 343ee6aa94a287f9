"""The curves of a training run: loss and accuracy against the epoch."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vit.evaluation.plots.drawing import ACCENT, FAINT, INK, WIDTH, calm, figure, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]  # of metrics.csv: numbers or strings of them; None or "" where nothing was measured
TITLES = {
    "loss": "loss", "accuracy": "accuracy, %", "map": "mean average precision, %", "perplexity": "perplexity",
}  # fmt: skip


def curves(rows: Sequence[Row]) -> "Figure":
    """Draw loss and metric against the epoch, side by side; training in a lighter line than validation.

    The metric is the accuracy, with several labels the mean average precision (mAP), or the perplexity.

    Args:
        rows: One mapping per epoch with `epoch`, `seconds` (since the start of the run), `train_loss`,
            `val_loss`, and `train_accuracy`, `val_accuracy`, or `train_map`, `val_map`, in [0, 1], or
            `train_perplexity`, `val_perplexity`. Values may be missing, None, "" or not finite; such points
            are left out. Other keys are ignored.

    Returns:
        A figure. The best epoch (highest validation metric, or lowest validation loss where there is none) is
        marked. A top axis shows minutes if `seconds` increases throughout and exceeds a minute.
    """
    if not rows:
        return note("No epoch was finished.")
    canvas = figure(WIDTH, 3.7)
    loss, accuracy = canvas.subplots(1, 2, gridspec_kw={"wspace": 0.07})
    epochs, seconds = _column(rows, "epoch"), _column(rows, "seconds")
    best = _best(rows)
    measured = (name for name in ("map", "perplexity") if any(f"val_{name}" in row for row in rows))
    metric = next(measured, "accuracy")
    share = (1, "") if metric == "perplexity" else (100, " %")
    for axes, key, scale, unit in ((loss, "loss", 1, ""), (accuracy, metric, *share)):
        calm(axes, TITLES[key])
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
            axes.legend(frameon=False, labelcolor=INK, loc="lower right" if unit else "upper right")
        if best is not None:
            value = scale * _column(rows, f"val_{key}")[best]
            _mark(axes, epochs[best], value, f"{value:.1f} %" if unit else f"{value:.3g}")
        if len(rows) == 1 and math.isfinite(epochs[0]):
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _minutes_on_top(axes, epochs, seconds)
    return canvas


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
    """Return the index of the first best row: by the validation metric, else by the validation loss."""
    for key, sign in (("val_accuracy", 1), ("val_map", 1), ("val_loss", -1)):
        values = _column(rows, key)
        measured = [index for index, value in enumerate(values) if math.isfinite(value)]
        if measured:
            return max(measured, key=lambda index: sign * values[index])
    return None
