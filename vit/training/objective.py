"""What a model is trained for: its loss and its metrics, for one label per example or several."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat

from vit.evaluation.several.metrics import average_precisions
from vit.training.next_token import NextToken

STEPS = 64  # scores that `BinnedPrecision` tells apart: as many steps of the logit from -8 to 8


class OneLabel(nn.Module):
    """Cross-entropy; the best epoch is the one with the highest validation accuracy.

    Args:
        classes: Number of classes.
        label_smoothing: Probability that the targets spread over all classes.
        class_weights: float32 (classes,), of the training loss, as torch's `cross_entropy` takes them: with
            classes as targets the mean is weighted, by the weight of each target; where targets are mixed,
            each class's term is weighted by it, and the sum is divided by the number of examples. None: 1.

    Attributes:
        figure: Name of the metric, as in `val_accuracy`; and `figure_name`, as it is shown.
        sign: 1: the higher the better; -1: the lower.
        more: Further figures of a validation, each with how it is shown.
    """

    figure, figure_name, sign = "accuracy", "accuracy", 1
    more: tuple[tuple[str, str], ...] = ()
    class_weights: Tensor | None

    def __init__(self, classes: int, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None):
        super().__init__()
        self.classes, self.label_smoothing = classes, label_smoothing
        # A buffer, so that it moves to the device; not stored, because it follows from the data.
        self.register_buffer("class_weights", class_weights, persistent=False)

    def outputs(self, model: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of a batch, and what they are compared with."""
        return model(inputs), targets

    def shown(self, value: float, digits: int = 2) -> str:
        """The metric, for a reader."""
        return percent(value, digits)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of a training step: float32 (B, classes) and int64 (B,), or (B, classes) if mixed -> a scalar."""
        return cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def val_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Without label smoothing and weights."""
        return cross_entropy(logits, targets)

    def count(self, targets: Tensor) -> int:
        """What a loss is the mean over."""
        return len(targets)

    def truth(self, targets: Tensor) -> Tensor:
        """What the metrics compare logits with: int64 (B,); of mixed targets the class with the most."""
        return targets.argmax(1) if targets.ndim == 2 else targets

    def following(self, val_loss: Tensor) -> dict[str, Tensor]:
        """The figures of `more`, from the mean validation loss."""
        return {}

    def train_metric(self) -> Metric:
        """The accuracy; its arguments are not looked at in each step, for which the host would wait."""
        return MulticlassAccuracy(self.classes, average="micro", validate_args=False)

    def val_metric(self) -> Metric:
        """The accuracy."""
        return MulticlassAccuracy(self.classes, average="micro", validate_args=False)


class SeveralLabels(nn.Module):
    """Binary cross-entropy of each label; the best epoch has the highest mean average precision.

    Targets are float32 (B, classes): 1 has the label, 0 has it not, NaN is unknown and takes no part.

    Args:
        classes: Number of labels.
        label_smoothing: How far targets move toward 1/2: 0 and 1 become s / 2 and 1 - s / 2.
        positive_weights: float32 (classes,), of the terms of each label that an example has. None: 1.

    Attributes:
        figure: As in `OneLabel`.
    """

    figure, figure_name, sign = "map", "mAP", 1
    more: tuple[tuple[str, str], ...] = ()
    positive_weights: Tensor | None

    def __init__(self, classes: int, *, label_smoothing: float = 0.0, positive_weights: Tensor | None = None):
        super().__init__()
        self.classes, self.label_smoothing = classes, label_smoothing
        self.register_buffer("positive_weights", positive_weights, persistent=False)

    def outputs(self, model: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of a batch, and what they are compared with."""
        return model(inputs), targets

    def shown(self, value: float, digits: int = 2) -> str:
        """The metric, for a reader."""
        return percent(value, digits)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of a training step: float32 (B, classes), both -> a scalar, the mean over the known entries."""
        smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return _mean_of_known(logits, smooth, self.positive_weights)

    def val_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Without label smoothing and weights."""
        return _mean_of_known(logits, targets)

    def count(self, targets: Tensor) -> Tensor:
        """What a loss is the mean over: the known entries."""
        return (~targets.isnan()).sum()

    def truth(self, targets: Tensor) -> Tensor:
        """What the metrics compare logits with: a mixed target of 1/2 or more has the label; NaN stays."""
        return targets.where(targets.isnan(), (targets >= 0.5).to(targets.dtype))

    def following(self, val_loss: Tensor) -> dict[str, Tensor]:
        """The figures of `more`, from the mean validation loss."""
        return {}

    def train_metric(self) -> Metric:
        """The mean average precision, from counts: a run that is resumed within an epoch has to store it."""
        return BinnedPrecision(self.classes)

    def val_metric(self) -> Metric:
        """The mean average precision, exact."""
        return MeanAveragePrecision()


Objective = OneLabel | SeveralLabels | NextToken


def percent(share: float, digits: int = 2) -> str:
    """A figure in [0, 1], for a reader."""
    return f"{100 * share:.{digits}f} %"


def _mean_of_known(logits: Tensor, targets: Tensor, positive_weights: Tensor | None = None) -> Tensor:
    known = ~targets.isnan()
    terms = binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(), pos_weight=positive_weights, reduction="none"
    )
    return terms.where(known, 0.0).sum() / known.sum().clamp(min=1)


class MeanLoss(Metric):
    """The mean of losses, each with the number of examples that it is the mean over.

    torchmetrics' `MeanMetric`, whose states these are, looks for NaN in each step: a GPU would be waited for.

    Args:
        nan: What NaN counts as; None: it is left out.
    """

    full_state_update = False
    mean_value: Tensor
    weight: Tensor

    def __init__(self, nan: float | None = None, **options: Any):
        super().__init__(**options)
        self.nan = nan
        self.add_state("mean_value", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, count: Tensor | int) -> None:
        """Add a scalar, and what it is the mean over."""
        unknown = loss.isnan()
        if self.nan is None:
            self.mean_value += (loss * count).masked_fill(unknown, 0.0)
            self.weight += ~unknown * count
        else:
            self.mean_value += loss.masked_fill(unknown, self.nan) * count
            self.weight += count

    def compute(self) -> Tensor:
        """A scalar; NaN before the first one."""
        return self.mean_value / self.weight


class MeanAveragePrecision(Metric):
    """The mean average precision over the labels that some example has; 0 where none has any."""

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add examples: floats (B, classes), and targets with NaN for what is unknown."""
        self.logits.append(logits)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """A scalar."""
        logits, targets = dim_zero_cat(self.logits), dim_zero_cat(self.targets)
        return average_precisions(logits, targets).nanmean().nan_to_num(0.0).float().to(logits.device)


class BinnedPrecision(Metric):
    """The mean average precision from counts, so that its state is small; scores are told apart in steps.

    Args:
        classes: Number of labels.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int, **options: Any):
        super().__init__(**options)
        self.add_state("counts", torch.zeros(2, classes, STEPS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add examples: floats (B, classes), and targets with NaN for what is unknown."""
        steps = ((logits + 8) * (STEPS / 16)).clamp(0, STEPS - 1).long()
        for counts, chosen in zip(self.counts, (targets == 0, targets == 1), strict=True):
            counts.scatter_add_(1, steps.T, chosen.T.to(torch.int64))

    def compute(self) -> Tensor:
        """A scalar."""
        falling = self.counts.flip(-1).float()
        false, true = falling.cumsum(-1)
        precision = true / (true + false).clamp(min=1)
        each = (precision * falling[1]).sum(-1) / true[:, -1]  # 0 / 0 is NaN
        return each.nanmean().nan_to_num(0.0)
