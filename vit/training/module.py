"""The Lightning module that trains a model. It knows no architecture."""

from collections.abc import Callable
from math import inf
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric

from vit.data.augmentation.mix import Mix
from vit.data.augmentation.resize import ProgressiveResize
from vit.errors import VitError
from vit.training.distributed import broadcast_buffers, shard
from vit.training.objective import MeanLoss, Objective
from vit.training.step import Step, StepResult

# Images as pixels, uint8 (B, C, height, width), or texts as ids, int64 (B, N); targets (B,), or (B, classes)
# with several labels and (B, N) of next tokens; indices (B,).
Batch = tuple[Tensor, Tensor, Tensor]


class Classifier(L.LightningModule):
    """Trains for an objective on augmented inputs; validates on inputs without augmentation.

    Augmentation runs on the device that trains, on whole batches. Between two looks at a log the host waits
    for nothing that the device computes: not for indices, which it keeps, nor for losses and metrics.

    Args:
        model: Inputs -> logits (B, classes). Inputs are float images (B, C, height, width) or ids (B, N).
        objective: Loss and metrics.
        augment: (pixels or ids, indices, epoch) -> inputs, for training.
        normalise: Pixels or ids -> inputs, for validation.
        mix: Mixes inputs and targets.
        make_optimizer: Model -> optimiser.
        lr_factor: Progress, 0 to 1 -> the learning rate as a fraction of its peak.
        grow: The size of the images at a progress of 0 to 1. None: their own.
        keep_statistics: Leave the statistics of BatchNorm layers as they are, and normalise by them: for
            weights that exist, which small batches would change whatever the learning rate is.

    Attributes:
        step: What is computed for a training batch.
        graph: The same, compiled; None: `step` is called as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        *,
        augment: Callable[[Tensor, Tensor, Any], Tensor],
        normalise: Callable[[Tensor], Tensor],
        mix: Mix,
        make_optimizer: Callable[[nn.Module], Optimizer],
        lr_factor: Callable[[float], float],
        grow: ProgressiveResize | None = None,
        keep_statistics: bool = False,
    ):
        super().__init__()
        self.model = model
        self.objective = objective
        self.augment = augment
        self.normalise = normalise
        self.step = Step(model, objective, augment, mix)
        self.graph: Callable[..., StepResult] | None = None
        self.grow = grow
        self.keep_statistics = keep_statistics
        self.make_optimizer = make_optimizer
        self.lr_factor = lr_factor
        self.train_loss = MeanLoss()
        # Under their names, `train_accuracy` or `train_map`: a checkpoint stores that of the training.
        self.add_module(f"train_{objective.figure}", objective.train_metric())
        self.add_module(f"val_{objective.figure}", objective.val_metric())
        for metric in (self.train_loss, self.train_metric):
            metric.persistent(True)  # so that a run resumed in the middle of an epoch counts all of it
        self.val_loss = MeanLoss(nan=inf)

    @property
    def train_metric(self) -> Metric:
        """That of the objective, over the epoch so far."""
        return cast(Metric, self._modules[f"train_{self.objective.figure}"])

    @property
    def val_metric(self) -> Metric:
        """That of the objective, for validation."""
        return cast(Metric, self._modules[f"val_{self.objective.figure}"])

    def configure_model(self) -> None:
        """Shard the weights between the processes, if the strategy is FSDP2."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh)

    def on_train_start(self) -> None:
        """Fix the statistics of BatchNorm layers; Lightning restores each layer's mode after a validation."""
        if self.keep_statistics:
            for layer in self.model.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()

    def on_train_epoch_start(self) -> None:
        """Reset the metrics: a run resumed between two epochs has loaded those of the epoch before."""
        self.train_loss.reset()
        self.train_metric.reset()

    def on_validation_epoch_start(self) -> None:
        """Let every process validate the same model."""
        if self.device_mesh is not None:
            broadcast_buffers(self.model)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, ...]:
        """Add the numbers of the mixture: they follow from the first index, which the host still has."""
        if not self.trainer.training:
            return batch
        raw, _, indices = batch
        sides = (raw.shape[-2], raw.shape[-1])
        return *batch, self.step.mix.draw(self.current_epoch, int(indices[0]), sides)

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, ...]:
        """A batch of validation as inputs and targets; one of training is augmented in its step."""
        if self.trainer.training:
            return batch
        raw, targets, _ = batch
        return self.normalise(raw), targets

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch: pixels or ids, targets, indices, and the numbers of the mixture."""
        raw = batch[0]
        size = None
        if self.grow is not None:
            size = self.grow.size(self.common_progress(), (raw.shape[-2], raw.shape[-1]))
        if self.graph is None:
            result = self.step(*batch, self.current_epoch, size)
        else:  # the epoch is written on the device: no copy to wait for
            epoch = torch.full((), self.current_epoch, dtype=torch.int64, device=raw.device)
            result = self.graph(*batch, epoch, size)
        self.train_loss.update(result.loss.detach(), result.counted)
        self.train_metric.update(result.logits.detach(), result.truth)
        # Logged here, not in on_train_epoch_end: EpochLog writes its row before that hook of the module runs.
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log(f"train_{self.objective.figure}", self.train_metric, on_step=False, on_epoch=True)
        return result.loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The loss without label smoothing and weights, and the metric."""
        inputs, targets = batch
        logits, targets = self.objective.outputs(self.model, inputs, targets)
        logits = logits.float()
        self.val_loss.update(self.objective.val_loss(logits, targets), self.objective.count(targets))
        self.val_metric.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics; the best checkpoint is chosen by the objective's.

        Raises:
            VitError: The loss is not finite, so that the metric means nothing.
        """
        if not (loss := self.val_loss.compute()).isfinite():
            raise VitError(
                f"the validation loss is {float(loss)}, expected a finite one: lower optim.lr, or check "
                "the weights; earlier checkpoints are kept"
            )
        self.log("val_loss", self.val_loss)
        self.log(f"val_{self.objective.figure}", self.val_metric)
        for name, value in self.objective.following(loss).items():
            self.log(f"val_{name}", value, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and a schedule that sets the learning rate by `progress` after each step."""
        optimizer = self.make_optimizer(self.model)
        schedule = LambdaLR(optimizer, lambda _: self.lr_factor(self.common_progress()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def progress(self) -> float:
        """Fraction of the run that is done, 0 to 1: by epochs or by the clock, whichever is larger."""
        trainer = self.trainer
        done = 0.0
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            done = trainer.global_step / max(int(trainer.estimated_stepping_batches), 1)
        for timer in self._timers():
            left = timer.time_remaining()
            if left is not None:
                elapsed = timer.time_elapsed()
                done = max(done, elapsed / max(elapsed + left, 1e-9))
        return done

    def common_progress(self) -> float:
        """The progress of process 0: clocks differ between processes, and the schedule must not."""
        if self.trainer.world_size > 1 and self._timers():
            return self.trainer.strategy.broadcast(self.progress())
        return self.progress()

    def _timers(self) -> list[Timer]:
        return [callback for callback in self.trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
