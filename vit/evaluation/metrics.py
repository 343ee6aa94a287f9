"""Metrics of a classifier on a dataset split; every example counts once."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import nll_loss

from vit.errors import VitError
from vit.evaluation import classes as counts
from vit.evaluation.calibration import Reliability, fit_temperature, reliability, scaled_scores

LOGITS_KEPT = 10**8  # examples times classes, 0.4 GB: no temperature is fitted to more


@dataclass
class Evaluation:
    """Predictions of a model on a split, in the order of the split, and the metrics that follow from them.

    Args:
        classes: Number of classes of the model.
        targets: int64 (n,), the true class of each example.
        predicted: int64 (n,), the most probable class.
        scores: float32 (n,), the probability of the predicted class.
        losses: float32 (n,), the negative logarithm of the probability of the true class, in nats.
        among_five: bool (n,), whether the true class is among the five most probable ones.
        scaled: float32 (n,), the probability of the predicted class with `temperature`; empty without one.
        temperature: What logits are divided by for `scaled`; None: there is none.
    """

    classes: int
    targets: Tensor
    predicted: Tensor
    scores: Tensor
    losses: Tensor
    among_five: Tensor
    scaled: Tensor = field(default_factory=lambda: torch.empty(0))
    temperature: float | None = field(default=None, kw_only=True)

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.targets)

    @property
    def right(self) -> Tensor:
        """bool (n,), whether the predicted class is the true one."""
        return self.predicted == self.targets

    @property
    def accuracy(self) -> float:
        """Share of examples whose most probable class is the true one."""
        return int(self.right.sum()) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson 1927)."""
        return counts.wilson_interval(int(self.right.sum()), self.n)

    @property
    def accuracy_top5(self) -> float:
        """Share whose true class is among the five most probable (fewer, below five classes)."""
        return int(self.among_five.sum()) / self.n

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self.losses.double().mean())

    @property
    def reliability(self) -> Reliability:
        """Scores and accuracy in 15 bins."""
        return reliability(self.scores, self.right)

    @property
    def scaled_reliability(self) -> Reliability | None:
        """The same with the temperature; None without one."""
        return None if self.temperature is None else reliability(self.scaled, self.right)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over 15 bins (Guo et al. 2017)."""
        return self.reliability.error

    @cached_property
    def confusion(self) -> Tensor:
        """int64 (classes, classes): rows true, columns predicted."""
        cells = (self.targets * self.classes + self.predicted).bincount(minlength=self.classes**2)
        return cells.view(self.classes, self.classes)

    def figures(self) -> dict[str, Any]:
        """The metrics of the whole split, as a dictionary for JSON."""
        figures: dict[str, Any] = {
            "n": self.n,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "accuracy_top5": self.accuracy_top5,
            "balanced_accuracy": counts.balanced_accuracy(self.confusion),
            "f1_macro": counts.f1_macro(self.confusion),
            "majority": counts.majority(self.confusion),
            "loss": self.loss,
            "calibration_error": self.calibration_error,
        }
        scaled = self.scaled_reliability
        if scaled is not None:
            figures |= {"temperature": self.temperature, "calibration_error_scaled": scaled.error}
        return figures

    def details(self, labels: list[str]) -> dict[str, Any]:
        """The metrics of each class, as a dictionary for JSON; their index is added to labels that repeat."""
        names = counts.unique_names(labels)
        figures = counts.class_figures(self.confusion)
        rows = zip(*(values.tolist() for values in figures), strict=True)
        return {
            "by_class": self.by_class(labels),
            "classes": {
                name: dict(zip(figures._fields, row, strict=True))
                for name, row in zip(names, rows, strict=True)
            },
            "labels": names,
            "confusion": self.confusion.tolist(),
        }

    def by_class(self, labels: list[str]) -> dict[str, float]:
        """Accuracy per class that has examples; the index is appended to labels that occur more than once."""
        figures = counts.class_figures(self.confusion)
        rows = zip(counts.unique_names(labels), figures.recall.tolist(), figures.n.tolist(), strict=True)
        return {name: recall for name, recall, n in rows if n}


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    normalise: Callable[[Tensor], Tensor],
    classes: int,
    *,
    class_order: Tensor | None = None,
    flip: bool = False,
    together: bool = False,
    temperature: float | Literal["fit"] | None = None,
) -> Evaluation:
    """Compute the metrics of a model over batches of a split.

    Args:
        model: In eval mode; inputs -> logits (B, classes).
        batches: (inputs, targets, indices) as `vit.data.loader` yields them; inputs are uint8 pixels
            (B, C, height, width) or token ids (B, N).
        normalise: From the inputs of a batch to those of the model, e.g. pixels -> float images.
        classes: Number of classes of the model.
        class_order: int64 (classes of the dataset,), the model's class for each; None: the same order.
        flip: Average the probabilities of each image and its mirror image.
        together: Each process of the torch.distributed group passes its own batches; the predictions of all
            are put together, in the order of their indices, which must differ.
        temperature: Compute calibration with this temperature, too; `fit`: with the one that suits these
            examples best, for a validation split. Scores and loss stay those of the model itself.

    Returns:
        The predictions and their metrics.

    Raises:
        VitError: The split is empty, or a temperature is to be fitted by several processes.
    """
    if temperature == "fit" and together:
        raise VitError("a temperature is fitted by one process, and here are several: give its value")
    given = None if temperature == "fit" else temperature
    device = next(model.parameters()).device
    kept, logits = [], _Logits(temperature == "fit")
    for raw, targets, indices in batches:
        truth = targets if class_order is None else class_order[targets]
        inputs = normalise(raw.to(device))
        log_probabilities = model(inputs).float().log_softmax(-1)
        if flip:
            mirrored = model(inputs.flip(-1)).float().log_softmax(-1)
            log_probabilities = torch.logaddexp(log_probabilities, mirrored) - math.log(2)
        log_probabilities = log_probabilities.cpu()
        logits.add(log_probabilities)
        columns = _columns(log_probabilities, truth, given)
        kept.append((*columns, indices) if together else columns)
    if not kept:
        raise VitError("the split is empty: choose another with --split")
    whole = [torch.cat(parts) for parts in zip(*kept, strict=True)]
    result = Evaluation(classes, *(gathered(whole) if together else whole), temperature=given)
    return logits.fit(result)


def _columns(log_probabilities: Tensor, truth: Tensor, temperature: float | None) -> tuple[Tensor, ...]:
    """What an `Evaluation` keeps of a batch, in the order of its fields."""
    score, predicted = log_probabilities.exp().max(-1)
    losses = nll_loss(log_probabilities, truth, reduction="none")
    five = log_probabilities.topk(min(5, log_probabilities.shape[1])).indices
    among_five = (five == truth[:, None]).any(1)
    scaled = score[:0] if temperature is None else scaled_scores(log_probabilities, temperature)
    return truth, predicted, score, losses, among_five, scaled


def gathered(columns: list[Tensor]) -> list[Tensor]:
    """The columns of all processes, sorted by the last one, which is left out."""
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, columns)
    *whole, indices = (torch.cat(parts) for parts in zip(*everyone, strict=True))
    order = indices.argsort()
    return [column[order] if len(column) else column for column in whole]


class _Logits:
    """The logits that a temperature is fitted to: all, or none if not `wanted` or more than `LOGITS_KEPT`."""

    def __init__(self, wanted: bool):
        self.room = LOGITS_KEPT if wanted else 0
        self.parts: list[Tensor] = []

    def add(self, part: Tensor) -> None:
        """Keep the logits of a batch."""
        self.room -= part.numel()
        if self.room >= 0:
            self.parts.append(part)
        else:
            self.parts.clear()

    def fit(self, result: Evaluation) -> Evaluation:
        """The result with the temperature that suits its examples, where there is one."""
        if not self.parts:
            return result
        logits = torch.cat(self.parts)
        temperature = fit_temperature(logits, result.targets)
        if temperature is None:
            return result
        return replace(result, temperature=temperature, scaled=scaled_scores(logits, temperature))
