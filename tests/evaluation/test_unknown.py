"""Scores of unknown inputs and how well they tell, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from vit.errors import VitError
from vit.evaluation.unknown import (
    KEPT,
    SCORES,
    auroc,
    false_positive_rate,
    probability_threshold,
    separation,
    threshold_for,
)


def drawn(n: int, m: int, levels: int | None = None) -> tuple[Tensor, Tensor]:
    """Scores of `n` known and `m` unknown inputs; with `levels`, many are the same."""
    known, unknown = torch.randn(n) + 1, torch.randn(m)
    if levels is not None:
        known, unknown = (part.mul(levels).round() / levels for part in (known, unknown))
    return known, unknown


def truth(known: Tensor, unknown: Tensor) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([1, 0], [len(known), len(unknown)])
    return labels, torch.cat([known, unknown]).numpy()


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize(("n", "m"), [(101, 53), (1, 7), (7, 1)])
def test_auroc_is_that_of_scikit_learn(n: int, m: int, levels: int | None) -> None:
    scores = drawn(n, m, levels)
    assert auroc(*scores) == pytest.approx(roc_auc_score(*truth(*scores)), abs=1e-12)
    assert auroc(scores[1], scores[0]) == pytest.approx(1 - auroc(*scores), abs=1e-12)


def test_auroc_of_known_cases() -> None:
    low, high = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    assert auroc(high, low) == 1
    assert auroc(low, high) == 0
    assert auroc(low, low) == 0.5
    # A probability of 1 in float32 is a tie; logits of 40 and 50 are none, and are not squeezed to [0, 1].
    assert auroc(torch.tensor([50.0]), torch.tensor([40.0])) == 1


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("kept", [0.5, 0.95, 1.0])
def test_false_positives_are_those_of_scikit_learn(kept: float, levels: int | None) -> None:
    scores = drawn(101, 53, levels)
    false, true, thresholds = roc_curve(*truth(*scores), drop_intermediate=False)
    first = int((true >= kept - 1e-12).argmax())
    assert false_positive_rate(*scores, kept) == pytest.approx(false[first])
    assert threshold_for(scores[0], kept) == pytest.approx(thresholds[first])


@pytest.mark.parametrize("n", [1, 19, 20, 21, 5000])
def test_a_threshold_keeps_its_share_and_no_more_than_it_must(n: int) -> None:
    scores = torch.rand(n)
    threshold = threshold_for(scores)
    assert (scores >= threshold).double().mean() >= 0.95
    assert (scores > threshold).double().mean() < 0.95


def test_scores_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    assert SCORES["probability"](logits).tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))])
    assert SCORES["logit"](logits).tolist() == [0, 3]
    assert SCORES["energy"](logits).tolist() == pytest.approx([np.log(2), np.log(np.exp(3) + np.exp(1))])
    figures = separation(10 * torch.eye(5), torch.zeros(3, 5))
    assert figures == {name: {"auroc": 1.0, "fpr95": 0.0} for name in SCORES}


def test_the_recorded_threshold_keeps_what_a_table_shows() -> None:
    logits = 3 * torch.randn(400, 7)
    recorded = probability_threshold(logits)
    assert recorded | {"threshold": 0} == {"threshold": 0, "score": "probability", "kept": KEPT, "n": 400}
    shown = [round(score, 6) for score in logits.softmax(-1).amax(-1).tolist()]
    assert sum(score >= recorded["threshold"] for score in shown) >= 380
    assert round(recorded["threshold"], 6) == recorded["threshold"]


def test_what_is_refused() -> None:
    empty, some = torch.empty(0), torch.ones(3)
    for call in (lambda: auroc(some, empty), lambda: false_positive_rate(empty, some)):
        with pytest.raises(VitError, match="inputs, expected at least one of each"):
            call()
    with pytest.raises(VitError, match="expected a share above 0"):
        threshold_for(some, 1.5)
