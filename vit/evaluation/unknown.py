"""Inputs that belong to none of a model's classes: scores, how well they tell, and a threshold.

A score is higher for what a model knows. Known inputs are the positives.
"""

import math
from typing import Any

import torch
from scipy.stats import rankdata
from torch import Tensor

from vit.errors import VitError

KEPT = 0.95  # share of known inputs that a threshold keeps


def probability(logits: Tensor) -> Tensor:
    """The largest probability, (B, classes) -> (B,) (Hendrycks & Gimpel 2017, ICLR)."""
    return logits.float().softmax(-1).amax(-1)


def logit(logits: Tensor) -> Tensor:
    """The largest logit, (B, classes) -> (B,) (Hendrycks et al. 2022, ICML)."""
    return logits.float().amax(-1)


def energy(logits: Tensor) -> Tensor:
    """The negative free energy at temperature 1, log-sum-exp of the logits (Liu et al. 2020, NeurIPS)."""
    return logits.float().logsumexp(-1)


SCORES = {"probability": probability, "logit": logit, "energy": energy}


def auroc(known: Tensor, unknown: Tensor) -> float:
    """The area under the ROC curve: how often a known input has the higher score; ties count half.

    Args:
        known: Scores (n,).
        unknown: Scores (m,).

    Raises:
        VitError: One of them is empty.
    """
    _require(known, unknown)
    ranks = rankdata(torch.cat([known, unknown]).double().numpy())  # the mean rank for ties
    n, m = len(known), len(unknown)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def threshold_for(known: Tensor, kept: float = KEPT) -> float:
    """The largest threshold that keeps this share of known inputs: those whose score is not below it.

    Args:
        known: Scores (n,).
        kept: In (0, 1].

    Raises:
        VitError: There are no scores, or `kept` is out of range.
    """
    _require(known)
    if not 0 < kept <= 1:
        raise VitError(f"kept is {kept}, expected a share above 0 and at most 1")
    count = math.ceil(round(kept * len(known), 9))  # 0.95 * 20 is not quite 19
    return float(known.sort(descending=True).values[count - 1])


def false_positive_rate(known: Tensor, unknown: Tensor, kept: float = KEPT) -> float:
    """The share of unknown inputs that pass for known ones at the threshold that keeps `kept` of these.

    Raises:
        VitError: As `threshold_for`, or there are no unknown inputs.
    """
    _require(known, unknown)
    return float((unknown >= threshold_for(known, kept)).double().mean())


def separation(known: Tensor, unknown: Tensor) -> dict[str, dict[str, float]]:
    """How well each score tells known from unknown inputs: `auroc`, and `fpr95` at 95 % true positives.

    Args:
        known: Logits (n, classes).
        unknown: Logits (m, classes).
    """
    figures = {}
    for name, score in SCORES.items():
        scores = score(known), score(unknown)
        figures[name] = {"auroc": auroc(*scores), "fpr95": false_positive_rate(*scores)}
    return figures


def probability_threshold(validation: Tensor) -> dict[str, Any]:
    """The threshold of `vit predict --unknown`, as a bundle's `scores["unknown"]` holds it.

    It is rounded down to the digits of the column `score`, so that what it keeps is kept in a table, too.

    Args:
        validation: Logits (n, classes) of inputs that the model has not learnt from.
    """
    threshold = math.floor(threshold_for(probability(validation)) * 1e6) / 1e6
    return {"threshold": threshold, "score": "probability", "kept": KEPT, "n": len(validation)}


def _require(*scores: Tensor) -> None:
    """Refuse empty scores."""
    sizes = [len(part) for part in scores]
    if 0 in sizes:
        raise VitError(f"scores of {' and '.join(map(str, sizes))} inputs, expected at least one of each")
