"""A model's figures on a split: every picture counted once."""

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
    """What a model did on a split.

    Args:
        n: Number of pictures, of all processes.
        accuracy: Part whose best class is right.
        accuracy_top5: Part whose five best classes hold the right one (all of them, below five classes).
        loss: Mean cross-entropy, in nats.
        calibration_error: Expected calibration error over 15 bins (Guo et al. 2017).
        confusion: int64, (classes, classes): rows true, columns predicted.
        predicted: int64, in the order of the split, of this process's pictures.
        scores: float32, the predicted class's probability, of the same.
        targets: int64, of the same.
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
        """The plain numbers, for JSON."""
        names = ("n", "accuracy", "accuracy_top5", "loss", "calibration_error")
        return {name: getattr(self, name) for name in names}

    def by_class(self, labels: list[str]) -> dict[str, float]:
        """Accuracy on the pictures of each class that has some; a label that comes twice gets its index."""
        right, of = self.confusion.diagonal(), self.confusion.sum(1)
        names = [label if labels.count(label) == 1 else f"{label} ({i})" for i, label in enumerate(labels)]
        return {name: float(right[index] / of[index]) for index, name in enumerate(names) if of[index]}


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
    """Run the model over uint8 batches.

    Args:
        model: In eval mode; images (B, C, height, width) -> logits (B, classes).
        batches: (pixels, targets, indices), as `vit.data.loader` gives them.
        normalise: Pixels -> float images.
        classes: Number of the model's classes.
        class_order: int64, the model's class for each of the dataset's; None: the same order.
        flip: Average the probabilities of each picture and its mirror image.
        together: Every process of torch.distributed's group has batches of its own; the figures are of all.

    Raises:
        VitError: No picture.
    """
    device = next(model.parameters()).device
    common: dict[str, Any] = {"sync_on_compute": together}
    top1 = MulticlassAccuracy(classes, average="micro", **common)
    top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes), **common)
    calibration = MulticlassCalibrationError(classes, **common)
    confusion = MulticlassConfusionMatrix(classes, **common)
    loss = MeanMetric(**common).set_dtype(torch.float64)
    kept = []
    for pixels, targets, _ in batches:
        truth = targets if class_order is None else class_order[targets]
        images = normalise(pixels.to(device))
        log_probabilities = model(images).float().log_softmax(-1)
        if flip:
            mirrored = model(images.flip(-1)).float().log_softmax(-1)
            log_probabilities = torch.logaddexp(log_probabilities, mirrored) - math.log(2)
        log_probabilities = log_probabilities.cpu()
        probabilities = log_probabilities.exp()
        for metric in (top1, top5, calibration, confusion):
            metric.update(probabilities, truth)
        loss.update(nll_loss(log_probabilities, truth, reduction="none"))
        score, predicted = probabilities.max(-1)
        kept.append((predicted, score, truth))
    if not kept:
        raise VitError("the split has no pictures: choose another with --split")
    predicted, scores, truths = (torch.cat(parts) for parts in zip(*kept, strict=True))
    counted = confusion.compute()
    return Evaluation(
        n=int(counted.sum()),
        accuracy=float(top1.compute()),
        accuracy_top5=float(top5.compute()),
        loss=float(loss.compute()),
        calibration_error=float(calibration.compute()),
        confusion=counted,
        predicted=predicted,
        scores=scores,
        targets=truths,
    )
