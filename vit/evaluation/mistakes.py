"""The wrong predictions of a model, the most confident first: where a wrong label or a hard class shows."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vit.atomic import replacing
from vit.evaluation.metrics import Evaluation


class Mistake(NamedTuple):
    """A wrong prediction.

    Args:
        path: Name of the example: a path relative to the data, or FILE:LINE of a text.
        label: The true label.
        predicted: The predicted label.
        score: Probability of `predicted`.
        score_of_label: Probability of `label`.
    """

    path: str
    label: str
    predicted: str
    score: float
    score_of_label: float


def wrong_indices(result: Evaluation) -> list[int]:
    """Positions of the wrong predictions in the split; high scores first, equal ones in the split's order."""
    wrong = (~result.right).nonzero()[:, 0]
    return wrong[result.scores[wrong].argsort(descending=True, stable=True)].tolist()


def find_mistakes(result: Evaluation, labels: Sequence[str], names: Sequence[str]) -> list[Mistake]:
    """Every wrong prediction, in the order of `wrong_indices`.

    Args:
        result: The predictions.
        labels: One name per class.
        names: One name per example, in the order of the split.
    """
    indices = wrong_indices(result)
    of_label = (-result.losses).exp().tolist()
    truths, guesses, scores = (
        values.tolist() for values in (result.targets, result.predicted, result.scores)
    )
    return [Mistake(names[i], labels[truths[i]], labels[guesses[i]], scores[i], of_label[i]) for i in indices]


def mistake_rows(mistakes: Sequence[Mistake]) -> list[list[object]]:
    """The rows of a CSV file; scores have six digits."""
    return [[*row[:3], f"{row.score:.6f}", f"{row.score_of_label:.6f}"] for row in mistakes]


def write_csv(file: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV file atomically. A name that is not UTF-8 is written as its own bytes, as tables are."""
    with (
        replacing(file) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
