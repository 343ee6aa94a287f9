"""Metrics of a model that gives each example several labels, or none.

Targets are float32 (n, classes): 1 has the label, 0 has it not, NaN is unknown. Unknown entries take no part
in any figure. A share of nothing is 0, as in scikit-learn with `zero_division=0`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vit.errors import VitError
from vit.evaluation.classes import share, unique_names, wilson_interval
from vit.evaluation.metrics import gathered

USUAL_THRESHOLD = 0.5  # of a label for which validation has no example


class LabelFigures(NamedTuple):
    """Figures of each label.

    Args:
        precision: float64 (classes,), share of the examples given a label that have it.
        recall: float64 (classes,), share of the examples with a label that are given it.
        f1: float64 (classes,), harmonic mean of the two.
        average_precision: float64 (classes,), mean precision over the examples with the label, in the order
            of their scores; no threshold matters. NaN for a label that no example has.
        threshold: float64 (classes,), the score from which on an example is given the label.
        n: int64 (classes,), examples that have the label.
        known: int64 (classes,), examples of which it is known whether they have it.
    """

    precision: Tensor
    recall: Tensor
    f1: Tensor
    average_precision: Tensor
    threshold: Tensor
    n: Tensor
    known: Tensor


@dataclass
class MultilabelEvaluation:
    """Scores of a model on a split, in the order of the split, and the metrics that follow from them.

    Args:
        targets: float32 (n, classes), as above.
        scores: float32 (n, classes), the probability of each label.
        losses: float32 (n,), the sum of the binary cross-entropies of an example's known entries, in nats.
        thresholds: One per label: an example is given the labels whose scores are at least these.
    """

    targets: Tensor
    scores: Tensor
    losses: Tensor
    thresholds: list[float]

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.targets)

    @property
    def known(self) -> Tensor:
        """bool (n, classes), which entries are known."""
        return ~self.targets.isnan()

    @property
    def predicted(self) -> Tensor:
        """bool (n, classes), the labels that the examples are given."""
        return at_least(self.scores, self.thresholds)

    @property
    def wrong(self) -> Tensor:
        """bool (n, classes), the known entries that are given and not had, or had and not given."""
        return self.known & (self.predicted != (self.targets == 1))

    @property
    def right(self) -> Tensor:
        """bool (n,), whether all known entries of an example are right."""
        return ~self.wrong.any(1)

    @property
    def accuracy(self) -> float:
        """Share of examples whose whole set of labels is right."""
        return int(self.right.sum()) / self.n

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy of the known entries, in nats."""
        return float(self.losses.double().sum() / self.known.sum().clamp(min=1))

    @property
    def f1_micro(self) -> float:
        """F1 of all known entries together."""
        right, wrong = (self.predicted & (self.targets == 1)).sum(), self.wrong.sum()
        return float(share(2 * right, 2 * right + wrong))

    @property
    def f1_macro(self) -> float:
        """Mean F1 of the labels that some example has or is given."""
        occurs = (self.targets == 1).any(0) | (self.predicted & self.known).any(0)
        return float(self.by_label.f1[occurs].mean()) if bool(occurs.any()) else 0.0

    @property
    def map(self) -> float:
        """Mean average precision of the labels that some example has; NaN where there is none."""
        return float(self.by_label.average_precision.nanmean())

    @cached_property
    def by_label(self) -> LabelFigures:
        """The figures of each label."""
        has, given = self.targets == 1, self.predicted & self.known
        right, n = (has & given).sum(0), has.sum(0)
        return LabelFigures(
            share(right, given.sum(0)),
            share(right, n),
            share(2 * right, n + given.sum(0)),
            average_precisions(self.scores, self.targets),
            torch.tensor(self.thresholds, dtype=torch.float64),
            n,
            self.known.sum(0),
        )

    def figures(self) -> dict[str, Any]:
        """The metrics of the whole split, as a dictionary for JSON."""
        return {
            "n": self.n,
            "map": _plain(self.map),
            "f1_micro": self.f1_micro,
            "f1_macro": self.f1_macro,
            "accuracy": self.accuracy,
            "interval": list(wilson_interval(int(self.right.sum()), self.n)),
            "loss": self.loss,
        }

    def details(self, labels: list[str]) -> dict[str, Any]:
        """The metrics of each label, as a dictionary for JSON; their index is added to labels that repeat."""
        names = unique_names(labels)
        rows = zip(*(values.tolist() for values in self.by_label), strict=True)
        return {
            "classes": {
                name: dict(zip(LabelFigures._fields, map(_plain, row), strict=True))
                for name, row in zip(names, rows, strict=True)
            },
            "labels": names,
        }


@torch.inference_mode()
def evaluate_several(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    normalise: Callable[[Tensor], Tensor],
    *,
    thresholds: Sequence[float] | Literal["fit"],
    columns: Tensor | None = None,
    flip: bool = False,
    together: bool = False,
) -> MultilabelEvaluation:
    """Compute the metrics of a model over batches of a split.

    Args:
        model: In eval mode; inputs -> logits (B, classes).
        batches: (inputs, targets, indices) as `vit.data.loader` yields them; inputs are uint8 pixels
            (B, C, height, width) or token ids (B, N).
        normalise: From the inputs of a batch to those of the model, e.g. pixels -> float images.
        thresholds: One per label; `fit`: those that suit these examples best, for a validation split.
        columns: int64 (classes of the model,), the label of the dataset for each; -1: the dataset has no
            example of it. None: the same order.
        flip: Average the probabilities of each image and its mirror image.
        together: As in `vit.evaluation.metrics.evaluate`.

    Returns:
        The scores and their metrics.

    Raises:
        VitError: The split is empty.
    """
    device = next(model.parameters()).device
    kept = []
    for raw, targets, indices in batches:
        inputs = normalise(raw.to(device))
        has, has_not = _log_probabilities(model(inputs))
        if flip:
            mirrored = _log_probabilities(model(inputs.flip(-1)))
            has, has_not = (
                torch.logaddexp(one, other) - math.log(2)
                for one, other in zip((has, has_not), mirrored, strict=True)
            )
        truth = targets if columns is None else _in_order(targets, columns)
        losses = -torch.where(truth.isnan(), 0.0, truth * has + (1 - truth) * has_not).sum(1)
        kept.append((truth, has.exp(), losses, indices))
    if not kept:
        raise VitError("the split is empty: choose another with --split")
    whole = [torch.cat(parts) for parts in zip(*kept, strict=True)]
    truth, scores, losses = gathered(whole) if together else whole[:-1]
    chosen = best_thresholds(scores, truth) if thresholds == "fit" else list(thresholds)
    return MultilabelEvaluation(truth, scores, losses, chosen)


def at_least(scores: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Scores (..., classes) -> bool, which are at least the thresholds of their labels."""
    return scores.double() >= torch.tensor(thresholds, dtype=torch.float64, device=scores.device)


def average_precisions(scores: Tensor, targets: Tensor) -> Tensor:
    """The average precision of each label over its known entries, as scikit-learn computes it.

    Args:
        scores: (n, classes), of any monotonous scale.
        targets: float32 (n, classes), as above.

    Returns:
        float64 (classes,); NaN for a label that no example has.
    """
    from sklearn.metrics import average_precision_score  # takes half a second, and predictions need none

    found = [
        float(average_precision_score(has, score)) if has.any() else math.nan
        for has, score in _known_entries(scores, targets)
    ]
    return torch.tensor(found, dtype=torch.float64)


def best_thresholds(scores: Tensor, targets: Tensor) -> list[float]:
    """For each label the threshold with the highest F1 over its known entries.

    A threshold lies in the middle between two scores. Of equally good ones the nearest to 0.5 is taken; so is
    0.5 for a label that no example has.

    Args:
        scores: (n, classes), probabilities.
        targets: float32 (n, classes), as above.
    """
    return [_best_threshold(has, score) for has, score in _known_entries(scores, targets)]


def _best_threshold(has: np.ndarray, scores: np.ndarray) -> float:
    """As `best_thresholds`, for the known entries of one label."""
    if not has.any():
        return USUAL_THRESHOLD
    order = np.argsort(-scores, kind="stable")
    falling = np.append(scores[order], 0.0)
    given = np.arange(1, len(order) + 1)
    f1 = 2 * has[order].cumsum() / (given + has.sum())
    f1[falling[:-1] == falling[1:]] = -1.0  # no threshold divides equal scores
    best = np.flatnonzero(f1 == f1.max())
    middles = (falling[best] + falling[best + 1]) / 2
    return float(middles[np.abs(middles - USUAL_THRESHOLD).argmin()])


def _known_entries(scores: Tensor, targets: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each label, which of its known entries are 1, and their scores in float64."""
    targets, values = targets.cpu(), scores.cpu().double().numpy()
    known, has = (~targets.isnan()).numpy(), (targets == 1).numpy()
    return [(has[known[:, label], label], values[known[:, label], label]) for label in range(known.shape[1])]


def _log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the probabilities that the examples have the labels, and have them not; on the CPU."""
    logits = logits.float().cpu()
    return logsigmoid(logits), logsigmoid(-logits)


def _in_order(targets: Tensor, columns: Tensor) -> Tensor:
    """Targets in the order of the model's labels; no example has a label that the dataset lacks (-1)."""
    nowhere = targets.new_zeros(len(targets), 1)
    return torch.cat([targets, nowhere], 1)[:, columns]


def _plain(value: float) -> float | None:
    """A number for JSON; None for NaN."""
    return None if math.isnan(value) else value
