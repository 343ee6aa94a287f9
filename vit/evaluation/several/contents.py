"""What a report shows of an evaluation with several labels per example: facts, plots, tables."""

from typing import Any

from torch import Tensor

from vit.evaluation.classes import ClassFigures, unique_names
from vit.evaluation.examples import Examples
from vit.evaluation.plots import figures as plots
from vit.evaluation.plots.drawing import png
from vit.evaluation.report import LISTED, Contents
from vit.evaluation.several.metrics import MultilabelEvaluation
from vit.evaluation.several.precision_recall import precision_recall

MISTAKE_COLUMNS = ("path", "labels", "predicted", "loss")
JOINT = "|"  # between the labels of an example


def several_labels(result: MultilabelEvaluation, labels: list[str], examples: Examples) -> Contents:
    """The contents for a model that gives each example several labels, or none.

    Args:
        result: The predictions.
        labels: Label names of the model.
        examples: What was measured, in the order of `result`.
    """
    mistakes = _mistakes(result, labels, examples.names)
    rows = [{"label": name, **row} for name, row in result.details(labels)["classes"].items()]
    listed = [dict(zip(MISTAKE_COLUMNS[:3], row, strict=False)) for row in mistakes[:LISTED]]
    first = f", the first {LISTED} of mistakes.csv" if len(mistakes) > LISTED else ""
    tables = {f"Labels ({len(rows)})": rows, f"Mistakes ({len(mistakes):,}{first})": listed}
    by_label = result.by_label
    bars = ClassFigures(by_label.precision, by_label.recall, by_label.f1, by_label.n)
    return Contents(
        _facts(result),
        {
            "precision_recall": png(precision_recall(result, unique_names(labels))),
            "classes": png(plots.class_bars(bars, labels)),
        },
        {name: content for name, content in tables.items() if content},
        {
            "mistakes.csv": (list(MISTAKE_COLUMNS), mistakes),
            "classes.csv": (list(rows[0]), [list(row.values()) for row in rows]),
        },
    )


def _facts(result: MultilabelEvaluation) -> dict[str, str]:
    """The cards of the report."""
    figures = result.figures()
    low, high = figures["interval"]
    shares = {
        "mean average precision": figures["map"],
        "micro F1": figures["f1_micro"],
        "macro F1": figures["f1_macro"],
        "all labels of an example right": figures["accuracy"],
    }
    facts = {name: "–" if share is None else f"{100 * share:.2f} %" for name, share in shares.items()}
    return facts | {
        "95 % interval of that": f"{100 * low:.1f}–{100 * high:.1f} %",
        "binary cross-entropy": f"{figures['loss']:.3f}",
    }


def _mistakes(result: MultilabelEvaluation, labels: list[str], names: list[str]) -> list[list[Any]]:
    """The examples with a wrong entry, those with the largest loss first, in the order of the columns."""
    wrong = (~result.right).nonzero()[:, 0]
    order = wrong[result.losses[wrong].argsort(descending=True, stable=True)].tolist()

    def joined(entries: Tensor) -> str:
        return JOINT.join(labels[index] for index in entries.nonzero()[:, 0].tolist())

    has, given = result.targets == 1, result.predicted
    return [[names[i], joined(has[i]), joined(given[i]), f"{float(result.losses[i]):.6f}"] for i in order]
