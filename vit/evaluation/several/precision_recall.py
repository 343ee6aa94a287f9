"""The plot of precision against recall for each label."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sklearn.metrics import precision_recall_curve

from vit.evaluation.plots.drawing import ACCENT, FAINT, INK, WIDTH, calm, class_names, figure, note, plain
from vit.evaluation.several.metrics import MultilabelEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_PER_ROW = 4
PANELS_UP_TO = 12  # labels; of more, those with the lowest average precision are drawn


def precision_recall(result: MultilabelEvaluation, labels: Sequence[str]) -> "Figure":
    """Draw the curve of each label that some example has, with the point of its threshold.

    Args:
        result: The predictions.
        labels: One name per label.
    """
    averages = result.by_label.average_precision
    measured = (~averages.isnan()).nonzero()[:, 0]
    if not len(measured):
        return note("No example has a label.")
    shown = measured[averages[measured].argsort(stable=True)[:PANELS_UP_TO]].sort().values.tolist()
    rows = math.ceil(len(shown) / PANELS_PER_ROW)
    canvas = figure(WIDTH, 0.6 + 2.2 * rows)
    panels = canvas.subplots(rows, PANELS_PER_ROW, sharex=True, sharey=True, squeeze=False).flatten()
    names = class_names(labels, canvas)
    for panel, index in zip(panels, shown, strict=False):
        _draw(panel, result, index)
        title = f"{names[index]}, AP {100 * averages[index]:.1f} %"
        plain(panel.set_title(title, loc="left", fontsize=9, color=INK))
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel in panels[::PANELS_PER_ROW]:
        panel.set_ylabel("precision, %", color=FAINT, fontsize=8)
    for panel in panels[max(0, len(shown) - PANELS_PER_ROW) : len(shown)]:
        panel.set_xlabel("recall, %", color=FAINT, fontsize=8)
        panel.tick_params(labelbottom=True)
    if len(measured) > len(shown):
        lowest = f"The {len(shown)} labels with the lowest average precision (AP), of {len(measured)}"
        canvas.suptitle(lowest, x=0.01, ha="left", fontsize=11, color=INK)
    return canvas


def _draw(panel: "Axes", result: MultilabelEvaluation, index: int) -> None:
    known = result.known[:, index]
    has, scores = result.targets[known, index] == 1, result.scores[known, index].double()
    precision, recall, _ = precision_recall_curve(has.numpy(), scores.numpy())
    calm(panel, "")
    panel.plot(100 * recall, 100 * precision, color=ACCENT, linewidth=1.6, drawstyle="steps-pre")
    point = [100 * float(part[index]) for part in (result.by_label.recall, result.by_label.precision)]
    panel.plot(*[[value] for value in point], "o", color="white", mec=ACCENT, mew=2, markersize=6, zorder=5)
    ends = (-3.0, 103.0)
    panel.set(xlim=ends, ylim=ends)
