"""Reliability and temperature, against scikit-learn, torchmetrics and brute force."""

import pytest
import torch
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import multiclass_calibration_error

from vit.errors import VitError
from vit.evaluation.calibration import fit_temperature, reliability, scaled_scores

from .test_metrics import drawn

LOGITS, TARGETS = drawn(1013)
SCORES, PREDICTED = LOGITS.softmax(-1).max(-1)
RIGHT = PREDICTED == TARGETS


def test_bins_are_those_of_scikit_learn() -> None:
    bins = reliability(SCORES, RIGHT, 15)
    accuracy, score = calibration_curve(RIGHT, SCORES, n_bins=15)
    filled = bins.counts > 0
    assert bins.accuracy[filled].tolist() == pytest.approx(accuracy.tolist())
    assert bins.scores[filled].tolist() == pytest.approx(score.tolist())
    assert int(bins.counts.sum()) == 1013
    assert bins.accuracy[~filled].isnan().all()
    assert not filled.all()  # no score is below 1 / 7: the case of an empty bin is tested


def test_the_error_is_that_of_torchmetrics() -> None:
    expected = multiclass_calibration_error(LOGITS.softmax(-1), TARGETS, num_classes=7, n_bins=15)
    assert reliability(SCORES, RIGHT).error == pytest.approx(float(expected), abs=1e-6)


def test_scores_at_the_edges() -> None:
    bins = reliability(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([False, True, True]), 2)
    assert bins.counts.tolist() == [2, 1]
    assert bins.scores.tolist() == [0.25, 1.0]
    assert bins.error == pytest.approx(2 / 3 * 0.25)


def test_the_temperature_has_the_smallest_loss() -> None:
    best = fit_temperature(LOGITS, TARGETS)
    assert best is not None

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(LOGITS.double() / temperature, TARGETS))

    candidates = [best * 1.002**step for step in range(-400, 401) if step]
    assert loss(best) < min(map(loss, candidates))


@pytest.mark.parametrize("factor", [0.3, 2.0])
def test_the_temperature_undoes_a_factor(factor: float) -> None:
    once, scaled = fit_temperature(LOGITS, TARGETS), fit_temperature(LOGITS * factor, TARGETS)
    assert once is not None
    assert scaled == pytest.approx(once * factor, rel=1e-4)
    torch.testing.assert_close(scaled_scores(LOGITS * factor, scaled), scaled_scores(LOGITS, once))


def test_targets_drawn_from_the_scores_need_no_temperature() -> None:
    """Where the scores are the probabilities, T is 1, and with logits thrice as large it mends the error."""
    logits = torch.randn(20011, 5)
    targets = logits.softmax(-1).multinomial(1)[:, 0]
    assert fit_temperature(logits, targets) == pytest.approx(1, abs=0.03)
    right = logits.argmax(-1) == targets
    temperature = fit_temperature(3 * logits, targets)
    assert temperature is not None
    before = reliability((3 * logits).softmax(-1).amax(-1), right).error
    after = reliability(scaled_scores(3 * logits, temperature), right).error
    assert before > 0.2
    assert after < 0.02


def test_a_temperature_that_is_not_determined() -> None:
    assert fit_temperature(10 * torch.eye(3), torch.arange(3)) is None  # all right: T would be 0
    assert fit_temperature(torch.eye(3), torch.tensor([1, 2, 0])) is None  # all wrong: infinite
    with pytest.raises(VitError, match="0 examples"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
