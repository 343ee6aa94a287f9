"""Calibration: whether 80 % of the predictions with score 0.8 are right, and the temperature that helps.

Source of both: Guo et al. 2017, On Calibration of Modern Neural Networks, sections 2 and 4.2.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vit.errors import VitError

BINS = 15  # as in the paper
TEMPERATURES = (0.05, 20.0)  # the range that is searched


class Reliability(NamedTuple):
    """Predictions by score, in bins of equal width.

    Args:
        scores: float64 (bins,), mean score of each bin; NaN where the bin is empty.
        accuracy: float64 (bins,), likewise the share of right predictions.
        counts: int64 (bins,), number of predictions.
    """

    scores: Tensor
    accuracy: Tensor
    counts: Tensor

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of accuracy and score, weighted by the counts."""
        gaps = (self.accuracy - self.scores).abs().nan_to_num()
        return float((gaps * self.counts).sum() / self.counts.sum())


def reliability(scores: Tensor, right: Tensor, bins: int = BINS) -> Reliability:
    """Sort predictions into bins by their scores; bin m of M holds scores in ((m - 1) / M, m / M].

    Args:
        scores: Floats in [0, 1] (n,), the probability of each predicted class.
        right: bool (n,), whether the prediction is the true class.
        bins: M.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    which = torch.bucketize(scores.double(), edges)
    counts = which.bincount(minlength=bins)
    score, accuracy = (
        which.bincount(weights=values.double(), minlength=bins) / counts  # 0 / 0 is NaN
        for values in (scores, right)
    )
    return Reliability(score, accuracy, counts)


def fit_temperature(logits: Tensor, targets: Tensor) -> float | None:
    """The temperature T for which softmax(logits / T) has the smallest cross-entropy.

    One number cannot change which class is the most probable one. Fit it on the validation split: on the
    training split scores are too good, and on the test split its figures would no longer be those of unseen
    examples.

    Args:
        logits: (n, classes), floats; log-probabilities do as well.
        targets: int64 (n,), the true classes.

    Returns:
        T, above 1 for a model that is too sure; None where the examples do not determine one: all
        predictions are right, so T would be 0, or they are no better than chance, so it would be infinite.

    Raises:
        VitError: There is no example.
    """
    if not len(targets):
        raise VitError(
            "a temperature cannot be fitted to 0 examples: give it the logits of a validation split"
        )

    if bool((logits.argmax(-1) == targets).all()):
        return None

    def loss(log_temperature: float) -> float:
        # In parts: float64 takes twice the memory of the logits themselves.
        parts = zip(logits.split(4096), targets.split(4096), strict=True)
        scale = math.exp(-log_temperature)
        return sum(
            float(cross_entropy(part.double() * scale, truth, reduction="sum")) for part, truth in parts
        )

    from scipy.optimize import minimize_scalar  # takes a third of a second, and predictions need none

    low, high = map(math.log, TEMPERATURES)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x
    at_an_end = min(best - low, high - best) < 1e-3
    return None if at_an_end else math.exp(best)


def scaled_scores(logits: Tensor, temperature: float) -> Tensor:
    """The probability of the most probable class with a temperature: (n, classes) -> float32 (n,)."""
    return (logits.float() / temperature).softmax(-1).amax(-1)
