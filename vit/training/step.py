"""A training step, from a batch of the data to its loss, as one function that torch.compile takes whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from vit.data.augmentation.mix import Mix
from vit.data.augmentation.resize import resize
from vit.training.objective import Objective


class StepResult(NamedTuple):
    """What a step gives.

    Args:
        loss: A scalar.
        logits: float32 (B, classes), or of next tokens (T, classes).
        truth: What metrics compare them with.
        counted: What the loss is the mean over.
    """

    loss: Tensor
    logits: Tensor
    truth: Tensor
    counted: Tensor | int


@dataclass(frozen=True)
class Step:
    """Augmentation, mixing, growth, model and loss.

    Nothing in it reads a value of a tensor, so that the host waits for nothing, and it is one graph. What
    changes from step to step is a tensor; the size alone is none, so that there is a graph for each size.

    Args:
        model: Inputs -> logits.
        objective: Loss and metrics.
        augment: (pixels or ids, indices, epoch) -> inputs.
        mix: Mixes inputs and targets.
    """

    model: Any
    objective: Objective
    augment: Callable[[Tensor, Tensor, Any], Tensor]
    mix: Mix

    def __call__(
        self,
        raw: Tensor,
        targets: Tensor,
        indices: Tensor,
        drawn: Tensor,
        epoch: int | Tensor,
        size: tuple[int, int] | None,
    ) -> StepResult:
        """One batch, all tensors on the device that trains.

        Args:
            raw: Pixels uint8 (B, C, height, width), ids int64 (B, N), or features float32 (B, F).
            targets: As in `Classifier`.
            indices: int64 (B,), the examples.
            drawn: float32 (8,), from `Mix.draw`.
            epoch: The pass over the data; in a graph an int64 tensor (), or each epoch would be compiled.
            size: Height and width of the images after growth; None: their own.
        """
        inputs, targets = self.mix.blend(self.augment(raw, indices, epoch), targets, drawn)
        if size is not None:
            inputs = resize(inputs, size)
        logits, targets = self.objective.outputs(self.model, inputs, targets)
        logits = logits.float()
        loss = self.objective.loss(logits, targets)
        return StepResult(loss, logits, self.objective.truth(targets), self.objective.count(targets))
