"""Metrics of a classifier on a dataset split; every example counts once."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss
from torchmetrics import MeanMetric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
)

from vit.errors import VitError


@dataclass
class Evaluation:
    """Metrics and predictions of a model on a split.

    Args:
        n: Number of examples, over all processes.
        accuracy: Share of examples whose most probable class is the true one.
        accuracy_top5: Share whose true class is among the five most probable (fewer, below five classes).
        loss: Mean cross-entropy, in nats.
        calibration_error: Expected calibration error over 15 bins (Guo et al. 2017).
        confusion: int64, (classes, classes): rows true, columns predicted.
        predicted: int64 (examples of this process,), predicted classes in the order of the split.
        scores: float32, likewise, the probability of the predicted class.
        targets: int64, likewise, the true class.
    """

    n: int
    accuracy: float
    accuracy_top5: float
    loss: float
    calibration_error: float
    confusion: Tensor
    predicted: Tensor
    scores: Tensor
    targets: Tensor

    def figures(self) -> dict[str, Any]:
        """The metrics that are single numbers, as a dictionary for JSON."""
        names = ("n", "accuracy", "accuracy_top5", "loss", "calibration_error")
        return {name: getattr(self, name) for name in names}

    def by_class(self, labels: list[str]) -> dict[str, float]:
        """Accuracy per class that has examples; the index is appended to labels that occur more than once."""
        correct, total = self.confusion.diagonal(), self.confusion.sum(1)
        names = [label if labels.count(label) == 1 else f"{label} ({i})" for i, label in enumerate(labels)]
        return {name: float(correct[i] / total[i]) for i, name in enumerate(names) if total[i]}


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
        together: Each process of the torch.distributed group passes its own batches; metrics are over all.

    Returns:
        The metrics, and the predictions of this process.

    Raises:
        VitError: The split is empty.
    """
    device = next(model.parameters()).device
    common: dict[str, Any] = {"sync_on_compute": together}
    top1 = MulticlassAccuracy(classes, average="micro", **common)
    top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes), **common)
    calibration = MulticlassCalibrationError(classes, **common)
    confusion = MulticlassConfusionMatrix(classes, **common)
    loss = MeanMetric(**common).set_dtype(torch.float64)
    kept = []
    for raw, targets, _ in batches:
        truth = targets if class_order is None else class_order[targets]
        inputs = normalise(raw.to(device))
        log_probabilities = model(inputs).float().log_softmax(-1)
        if flip:
            mirrored = model(inputs.flip(-1)).float().log_softmax(-1)
            log_probabilities = torch.logaddexp(log_probabilities, mirrored) - math.log(2)
        log_probabilities = log_probabilities.cpu()
        probabilities = log_probabilities.exp()
        for metric in (top1, top5, calibration, confusion):
            metric.update(probabilities, truth)
        loss.update(nll_loss(log_probabilities, truth, reduction="none"))
        score, predicted = probabilities.max(-1)
        kept.append((predicted, score, truth))
    if not kept:
        raise VitError("the split is empty: choose another with --split")
    predicted, scores, truths = (torch.cat(parts) for parts in zip(*kept, strict=True))
    counts = confusion.compute()
    return Evaluation(
        n=int(counts.sum()),
        accuracy=float(top1.compute()),
        accuracy_top5=float(top5.compute()),
        loss=float(loss.compute()),
        calibration_error=float(calibration.compute()),
        confusion=counts,
        predicted=predicted,
        scores=scores,
        targets=truths,
    )
