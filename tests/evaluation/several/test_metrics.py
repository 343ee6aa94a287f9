"""Figures of a model with several labels, against scikit-learn; unknown entries take no part."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision

from vit.evaluation.several.metrics import (
    MultilabelEvaluation,
    at_least,
    average_precisions,
    best_thresholds,
    evaluate_several,
)

from ..test_metrics import Fixed

N, LABELS = 211, 7


def drawn(unknown: float = 0.0) -> tuple[Tensor, Tensor]:
    """Logits with many equal values, and targets that they often meet; a share of them unknown."""
    noise = torch.Generator().manual_seed(5)
    shares = torch.linspace(0.1, 0.7, LABELS)
    targets = (torch.rand(N, LABELS, generator=noise) < shares).float()
    logits = (2 * targets - 1 + 2 * torch.randn(N, LABELS, generator=noise)).mul(4).round().div(4)
    targets[torch.rand(N, LABELS, generator=noise) < unknown] = math.nan
    return logits, targets


def measured(logits: Tensor, targets: Tensor, **options) -> MultilabelEvaluation:
    numbers = torch.arange(len(targets))
    batches = [(part, targets[part], part) for part in numbers.split(64)]
    options = {"thresholds": [0.5] * logits.shape[1]} | options
    return evaluate_several(Fixed(logits), batches, lambda inputs: inputs, **options)


def test_figures_of_the_split() -> None:
    logits, targets = drawn()
    thresholds = [0.3, 0.5, 0.5, 0.8, 0.5, 0.1, 0.6]
    result = measured(logits, targets, thresholds=thresholds)
    scores = logits.double().sigmoid().numpy()
    truth, given = targets.numpy(), scores >= np.array(thresholds)
    expected = {
        "n": N,
        "map": oracle.average_precision_score(truth, scores),
        "f1_micro": oracle.f1_score(truth, given, average="micro"),
        "f1_macro": oracle.f1_score(truth, given, average="macro"),
        "accuracy": oracle.accuracy_score(truth, given),
        "loss": np.mean([oracle.log_loss(truth[:, i], scores[:, i]) for i in range(LABELS)]),
    }
    figures = result.figures()
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    low, high = figures["interval"]
    assert low < figures["accuracy"] < high
    rows = result.details([*"abcdefg"])["classes"]
    precision, recall, f1, n = oracle.precision_recall_fscore_support(truth, given)
    for index, row in enumerate(rows.values()):
        assert row == pytest.approx({
            "precision": precision[index], "recall": recall[index], "f1": f1[index], "n": n[index],
            "average_precision": oracle.average_precision_score(truth[:, index], scores[:, index]),
            "threshold": thresholds[index], "known": N,
        })  # fmt: skip


def test_unknown_entries_are_left_out() -> None:
    """As the oracles for the known entries alone; another score of an unknown one changes nothing."""
    logits, targets = drawn(0.3)
    result = measured(logits, targets, thresholds="fit")
    known = ~targets.isnan()
    every = MultilabelAveragePrecision(LABELS, average="none", ignore_index=-1)
    each = every(logits.sigmoid(), targets.nan_to_num(-1).long())
    torch.testing.assert_close(result.by_label.average_precision.float(), each, atol=1e-6, rtol=0)
    assert result.f1_micro == pytest.approx(oracle.f1_score(targets[known], result.predicted[known]))
    assert result.loss == pytest.approx(oracle.log_loss(targets[known], logits[known].double().sigmoid()))
    right = (result.predicted == (targets == 1)) | ~known
    assert result.accuracy == pytest.approx(float(right.all(1).double().mean()))
    assert result.by_label.known.tolist() == known.sum(0).tolist()
    changed = torch.where(known, logits, -3 * logits + 1)
    again = measured(changed, targets, thresholds="fit")
    assert not torch.equal(again.scores, result.scores)
    assert again.figures() == result.figures()
    assert again.details([*"abcdefg"]) == result.details([*"abcdefg"])


def test_thresholds_by_brute_force() -> None:
    logits, targets = drawn(0.2)
    scores = logits.sigmoid()
    found = best_thresholds(scores, targets)
    for index, threshold in enumerate(found):
        known = ~targets[:, index].isnan()
        truth, score = targets[known, index].numpy(), scores[known, index].double().numpy()
        candidates = [*np.unique(score), 0.5, 2.0]
        best = max(oracle.f1_score(truth, score >= one, zero_division=0) for one in candidates)
        assert oracle.f1_score(truth, score >= threshold) == pytest.approx(best)
        assert np.abs(score - threshold).min() > 1e-4, "between two scores"


def test_the_nearest_to_one_half_of_equally_good_thresholds() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.6, 0.9], [0.9, 0.9]])
    targets = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert best_thresholds(scores, targets) == pytest.approx([0.35, 0.45])


def test_labels_that_no_example_has() -> None:
    """They are left out of the means, and are no reason for a warning."""
    logits, targets = drawn()
    targets[:, 3] = 0
    targets[:, 5] = math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = measured(logits, targets, thresholds="fit")
        figures, rows = result.figures(), result.details([*"abcdefg"])["classes"]
    assert [rows[label]["average_precision"] for label in "df"] == [None, None]
    assert [rows[label]["threshold"] for label in "df"] == [0.5, 0.5]
    rest = [0, 1, 2, 4, 6]
    expected = oracle.average_precision_score(targets[:, rest], logits[:, rest].sigmoid())
    assert figures["map"] == pytest.approx(expected, abs=1e-6)
    f1 = [rows[label]["f1"] for label in "abcdeg"]  # d is given to some examples; f is not known of any
    assert figures["f1_macro"] == pytest.approx(np.mean(f1))
    none = measured(torch.full((3, 2), -9.0), torch.zeros(3, 2)).figures()
    assert (none["map"], none["f1_micro"], none["f1_macro"], none["accuracy"]) == (None, 0.0, 0.0, 1.0)


def test_mirror_images_and_an_order_of_columns() -> None:
    logits, targets = drawn()

    numbers = torch.arange(N)
    pairs = torch.stack([numbers, numbers + N], 1)  # a mirror image has them the other way round

    class Paired(Fixed):
        def forward(self, numbers: Tensor) -> Tensor:
            is_mirrored = bool(numbers[0, 0] > numbers[0, 1])
            rows = numbers[:, 1] if is_mirrored else numbers[:, 0]
            return self.logits[rows] * (-0.5 if is_mirrored else 1)

    order = torch.tensor([2, 0, -1, 1])
    model = Paired(logits[:, :4])
    batches = [(pairs[part], targets[part, :3], part) for part in numbers.split(50)]
    result = evaluate_several(
        model, batches, lambda inputs: inputs, thresholds=[0.5] * 4, columns=order, flip=True
    )
    expected = (logits[:, :4].sigmoid() + (-0.5 * logits[:, :4]).sigmoid()) / 2
    torch.testing.assert_close(result.scores, expected)
    columns = [targets[:, 2], targets[:, 0], torch.zeros(N), targets[:, 1]]
    assert torch.equal(result.targets, torch.stack(columns, 1))


def test_average_precision_of_equal_scores() -> None:
    scores, targets = torch.zeros(5, 1), torch.tensor([[1.0], [0], [0], [1], [0]])
    assert average_precisions(scores, targets).tolist() == pytest.approx([0.4])


def test_a_score_at_the_threshold_is_enough() -> None:
    assert at_least(torch.tensor([[0.5, 0.25]]), [0.5, 0.3]).tolist() == [[True, False]]
