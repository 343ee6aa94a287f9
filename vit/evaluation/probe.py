"""Probes: how well a simple classifier tells classes apart by the features of a frozen model.

scikit-learn fits them. Their one setting is chosen by cross-validation of the examples that they learn from.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

from vit.errors import UsageError
from vit.evaluation.metrics import Evaluation

INVERSE_PENALTIES = tuple(10.0**power for power in range(-4, 3))  # of the linear probe
NEIGHBOURS = (1, 3, 5, 10, 20)
FOLDS, FOLDS_OF_MANY, MANY = 5, 2, 2000  # with more than MANY examples, two folds are enough
SMALLEST = 1e-12  # a probability of 0 would make the loss infinite


class Grid(NamedTuple):
    """A classifier, the name of its setting, and the values to choose from."""

    classifier: Pipeline
    setting: str
    values: tuple[Any, ...]
    usual: Any


def _linear(n: int) -> Grid:
    """Logistic regression on standardised features."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return Grid(classifier, "logisticregression__C", INVERSE_PENALTIES, 1.0)


def _knn(n: int) -> Grid:
    """The nearest by cosine, weighted by the inverse of their distance."""
    classifier = make_pipeline(Normalizer(), KNeighborsClassifier(weights="distance"))
    values = tuple(count for count in NEIGHBOURS if count == 1 or 2 * count <= n)
    return Grid(classifier, "kneighborsclassifier__n_neighbors", values, 1)


PROBES: dict[str, Callable[[int], Grid]] = {"linear": _linear, "knn": _knn}


class Probe(NamedTuple):
    """A fitted classifier.

    Args:
        classifier: From features to classes.
        setting: What cross-validation chose: the inverse penalty of `linear`, the neighbours of `knn`.
    """

    classifier: Pipeline
    setting: float


def fit_probe(kind: str, features: Tensor, targets: Tensor) -> Probe:
    """Fit a probe.

    Args:
        kind: `linear` or `knn`.
        features: float32 (n, F).
        targets: int64 (n,), the class of each.

    Raises:
        UsageError: An unknown kind.
    """
    if kind not in PROBES:
        raise UsageError(f"the probe is {kind!r}, expected one of: {', '.join(PROBES)}")
    inputs, classes = features.numpy(), targets.numpy()
    grid = PROBES[kind](len(classes))
    smallest = int(np.unique(classes, return_counts=True)[1].min())
    folds = min(FOLDS if len(classes) <= MANY else FOLDS_OF_MANY, smallest)
    if folds < 2:  # a class with one example cannot be cross-validated
        classifier = grid.classifier.set_params(**{grid.setting: grid.usual}).fit(inputs, classes)
        return Probe(classifier, grid.usual)
    division = StratifiedKFold(folds, shuffle=True, random_state=0)
    search = GridSearchCV(grid.classifier, {grid.setting: grid.values}, cv=division).fit(inputs, classes)
    return Probe(search.best_estimator_, search.best_params_[grid.setting])


def evaluate_probe(probe: Probe, features: Tensor, targets: Tensor, classes: int) -> Evaluation:
    """Measure a probe.

    Args:
        probe: From `fit_probe`.
        features: float32 (n, F).
        targets: int64 (n,), the class of each.
        classes: Their number, those included that the probe has not seen.
    """
    seen = torch.from_numpy(np.asarray(probe.classifier.classes_, dtype=np.int64))
    probabilities = torch.zeros(len(targets), classes, dtype=torch.float64)
    probabilities[:, seen] = torch.from_numpy(probe.classifier.predict_proba(features.numpy())).double()
    scores, predicted = probabilities.max(1)
    of_truth = probabilities.gather(1, targets[:, None])[:, 0]
    among_five = (probabilities.topk(min(5, classes)).indices == targets[:, None]).any(1)
    losses = -of_truth.clamp(min=SMALLEST).log()
    return Evaluation(classes, targets, predicted, scores.float(), losses.float(), among_five)
