"""The Lightning module: a model that learns to classify. It knows no architecture."""

from collections.abc import Callable

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from vit.errors import VitError
from vit.training.distributed import divide, same_buffers

Batch = tuple[Tensor, Tensor, Tensor]  # pixels uint8 (B, C, height, width), targets (B,), indices (B,)


class Classifier(L.LightningModule):
    """Cross-entropy on augmented pictures, accuracy on clean ones.

    Batches arrive as uint8 and are augmented on the device, whole batches at a time.

    Args:
        model: Images (B, C, height, width) -> logits (B, classes).
        classes: Number of classes.
        augment: (pixels, indices, epoch) -> float images, for training.
        normalise: Pixels -> float images, for evaluation.
        mix: (images, targets, epoch, first index) -> the same, mixed, with targets as (B, classes).
        make_optimizer: Model -> optimiser.
        rate: Progress, 0 to 1 -> factor on the learning rate.
        grow: (images, progress, 0 to 1) -> the images at that point's size; None: as they are.
        label_smoothing: Probability spread over the other classes.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: int,
        *,
        augment: Callable[[Tensor, Tensor, int], Tensor],
        normalise: Callable[[Tensor], Tensor],
        mix: Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]],
        make_optimizer: Callable[[nn.Module], Optimizer],
        rate: Callable[[float], float],
        grow: Callable[[Tensor, float], Tensor] | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        self.model = model
        self.augment = augment
        self.normalise = normalise
        self.mix = mix
        self.grow = grow
        self.make_optimizer = make_optimizer
        self.rate = rate
        self.label_smoothing = label_smoothing
        self.train_loss = MeanMetric(nan_strategy="ignore")
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        for metric in (self.train_loss, self.train_accuracy):
            metric.persistent(True)  # a run that is resumed in the middle of an epoch sums up all of it
        self.val_loss = MeanMetric(nan_strategy="disable")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")

    def configure_model(self) -> None:
        """Divide the weights between the processes, where the strategy asks for it."""
        if self.device_mesh is not None:
            divide(self.model, self.device_mesh)

    def on_train_epoch_start(self) -> None:
        """Forget the figures of an epoch behind which a resumed run was cut off."""
        self.train_loss.reset()
        self.train_accuracy.reset()

    def on_validation_epoch_start(self) -> None:
        """Let every process judge the same model."""
        if self.device_mesh is not None:
            same_buffers(self.model)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Pixels to images, on the device that trains."""
        pixels, targets, indices = batch
        if not self.trainer.training:
            return self.normalise(pixels), targets
        images = self.augment(pixels, indices, self.current_epoch)
        images, targets = self.mix(images, targets, self.current_epoch, int(indices[0]))
        return images if self.grow is None else self.grow(images, self.common_progress()), targets

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch; the targets may be mixed, (B, classes)."""
        images, targets = batch
        logits = self.model(images).float()
        loss = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        truth = targets.argmax(1) if targets.ndim == 2 else targets
        self.train_loss.update(loss.detach(), len(truth))
        self.train_accuracy.update(logits.detach(), truth)
        # Logged here, not at the epoch's end: callbacks write the epoch's row before that hook runs.
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_accuracy", self.train_accuracy, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Plain cross-entropy and accuracy, without smoothing."""
        images, targets = batch
        logits = self.model(images).float()
        self.val_loss.update(cross_entropy(logits, targets), len(targets))
        self.val_accuracy.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        """Log the validation's figures; the best checkpoint is chosen by them.

        Raises:
            VitError: The loss is no number, so that no figure of this model means anything.
        """
        if not self.val_loss.compute().isfinite():
            raise VitError(
                "the loss on validation is no number: lower optim.lr; the checkpoints before are kept"
            )
        self.log("val_loss", self.val_loss)
        self.log("val_accuracy", self.val_accuracy)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and a schedule that follows `progress` step by step."""
        optimizer = self.make_optimizer(self.model)
        schedule = LambdaLR(optimizer, lambda _: self.rate(self.common_progress()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def progress(self) -> float:
        """How much of the run is done, 0 to 1: by epochs or by the clock, whichever is further."""
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
        """The first process's progress: clocks differ between processes, and the schedule must not."""
        if self.trainer.world_size > 1 and self._timers():
            return self.trainer.strategy.broadcast(self.progress())
        return self.progress()

    def _timers(self) -> list[Timer]:
        return [callback for callback in self.trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
