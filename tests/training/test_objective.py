"""The loss and the metrics of several labels, against torch, scikit-learn and finite differences."""

import math
import warnings

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vit.training.objective import BinnedPrecision, MeanAveragePrecision, OneLabel, SeveralLabels

B, LABELS = 53, 5
WEIGHTS = torch.tensor([0.5, 3.0, 1.25, 1.0, 20.0])


def drawn(unknown: float = 0.25) -> tuple[Tensor, Tensor]:
    targets = (torch.rand(B, LABELS) < 0.3).float()
    targets[torch.rand(B, LABELS) < unknown] = math.nan
    return torch.randn(B, LABELS) + targets.nan_to_num(), targets


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_known_entries(smoothing: float) -> None:
    logits, targets = drawn()
    objective = SeveralLabels(LABELS, label_smoothing=smoothing, positive_weights=WEIGHTS)
    known = ~targets.isnan()
    smooth = targets * (1 - smoothing) + smoothing / 2
    has = logits.sigmoid()
    terms = -(smooth * WEIGHTS * has.log() + (1 - smooth) * (1 - has).log())
    torch.testing.assert_close(objective.loss(logits, targets), terms[known].mean())
    plain = binary_cross_entropy_with_logits(logits[known], targets[known])
    torch.testing.assert_close(objective.val_loss(logits, targets), plain)
    assert int(objective.count(targets)) == int(known.sum())


def test_unknown_entries_have_no_gradient() -> None:
    logits, targets = drawn()
    logits.requires_grad_()
    SeveralLabels(LABELS, label_smoothing=0.1).loss(logits, targets).backward()
    assert torch.equal(logits.grad != 0, ~targets.isnan())


def test_a_batch_of_which_nothing_is_known() -> None:
    logits = torch.randn(3, LABELS, requires_grad=True)
    loss = SeveralLabels(LABELS).loss(logits, torch.full((3, LABELS), math.nan))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_mixed_targets_count_from_one_half_on() -> None:
    mixed = torch.tensor([[0.3, 0.5, math.nan, 1.0, 0.0]])
    truth = SeveralLabels(LABELS).truth(mixed)
    assert truth[:, [0, 1, 3, 4]].tolist() == [[0, 1, 1, 0]]
    assert truth[:, 2].isnan().all()
    assert OneLabel(3).truth(torch.tensor([[0.3, 0.6, 0.1]])).tolist() == [1]


def expected_map(logits: Tensor, targets: Tensor) -> float:
    known = ~targets.isnan()
    columns = [(targets[known[:, i], i], logits[known[:, i], i]) for i in range(LABELS)]
    return sum(average_precision_score(*column) for column in columns) / LABELS


def test_the_metric_of_validation_is_exact() -> None:
    logits, targets = drawn()
    metric = MeanAveragePrecision()
    for part in torch.arange(B).split(10):
        metric.update(logits[part], targets[part])
    assert float(metric.compute()) == pytest.approx(expected_map(logits, targets), abs=1e-6)


def test_the_metric_of_training_is_that_of_binned_scores() -> None:
    logits, targets = drawn()
    metric = BinnedPrecision(LABELS)
    for part in torch.arange(B).split(10):
        metric.update(logits[part], targets[part])
    binned = ((logits + 8) * 4).floor()
    assert float(metric.compute()) == pytest.approx(expected_map(binned, targets), abs=1e-6)
    metric.persistent(True)
    resumed = BinnedPrecision(LABELS)
    resumed.persistent(True)
    resumed.load_state_dict(metric.state_dict())
    for each in (metric, resumed):
        each.update(5 * logits, targets)
    assert torch.equal(metric.compute(), resumed.compute())


@pytest.mark.parametrize("metric", [MeanAveragePrecision(), BinnedPrecision(2)])
def test_labels_without_a_positive(metric: MeanAveragePrecision | BinnedPrecision) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.update(torch.randn(4, 2), torch.tensor([[0.0, 1.0]] * 4))
        assert float(metric.compute()) == 1
        metric.reset()
        metric.update(torch.randn(4, 2), torch.zeros(4, 2))
        assert float(metric.compute()) == 0
