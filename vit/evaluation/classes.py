"""Figures of single classes and their means, from the counts of a confusion matrix.

A confusion matrix is int64 (classes, classes): how many examples of class `row` were predicted as `column`.
Conventions are scikit-learn's: a share of nothing is 0 (`zero_division=0`).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class ClassFigures(NamedTuple):
    """Figures of each class, against all others.

    Args:
        precision: float64 (classes,), share of the predictions of a class that are right.
        recall: float64 (classes,), share of the examples of a class that are found.
        f1: float64 (classes,), harmonic mean of the two.
        n: int64 (classes,), examples of the class.
    """

    precision: Tensor
    recall: Tensor
    f1: Tensor
    n: Tensor


def class_figures(confusion: Tensor) -> ClassFigures:
    """Precision, recall, F1 and number of examples of each class."""
    right, n, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return ClassFigures(share(right, predicted), share(right, n), share(2 * right, n + predicted), n)


def balanced_accuracy(confusion: Tensor) -> float:
    """Mean recall of the classes that have examples: each class counts the same, however rare."""
    figures = class_figures(confusion)
    return float(figures.recall[figures.n > 0].mean())


def f1_macro(confusion: Tensor) -> float:
    """Mean F1 of the classes that have examples or predictions."""
    occurs = confusion.sum(0) + confusion.sum(1) > 0
    return float(class_figures(confusion).f1[occurs].mean())


def majority(confusion: Tensor) -> float:
    """Accuracy of the answer that is always the most frequent class."""
    return float(confusion.sum(1).max() / confusion.sum().double())


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `n` (Wilson 1927; Newcombe 1998, method 3).

    It treats the examples as independent draws. Unlike share +- 1.96 standard errors it stays within 0 and 1
    and has a width also where all are right.
    """
    from scipy.stats import binomtest  # takes a third of a second, and predictions need none

    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


class Confusion(NamedTuple):
    """Two classes that are taken for each other.

    Args:
        label: Index of the true class.
        predicted: Index of the predicted class.
        n: Number of examples.
    """

    label: int
    predicted: int
    n: int


def most_confused(confusion: Tensor, most: int) -> list[Confusion]:
    """The most frequent mistakes, at most `most`; equally frequent ones are in the order of the matrix."""
    wrong = confusion.clone().fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:most].tolist()
    pairs = [divmod(position, len(confusion)) for position in order]
    return [Confusion(row, column, int(wrong[row, column])) for row, column in pairs if wrong[row, column]]


def unique_names(labels: list[str]) -> list[str]:
    """The labels; to those that occur more than once their index is added."""
    return [label if labels.count(label) == 1 else f"{label} ({i})" for i, label in enumerate(labels)]


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Integers -> float64 part / whole; 0 where the whole is 0."""
    return torch.where(whole > 0, part / whole.double(), 0.0)
