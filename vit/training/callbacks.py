"""What happens beside the training loop: the averaged weights, the log of epochs, the progress bar."""

import csv
import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from torch import Tensor

from vit.training.resume import keep_rows

COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "images_per_second",
)

log = logging.getLogger("vit")


def averaging(decay: float) -> WeightAveraging:
    """Exponential moving average of the weights, validated and kept instead of the last ones.

    The average starts short and grows to `decay`, so that a short run is not held back by its first weights.
    """

    @torch.no_grad()
    def update(average: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        kept = min(decay, (1 + float(updates)) / (10 + float(updates)))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - kept)
        else:  # counters, such as those of batch norm
            torch._foreach_copy_(average, current)

    return WeightAveraging(multi_avg_fn=update)


class EpochLog(Callback):
    """One row per epoch to `metrics.csv`, one line to the log.

    Rows are appended, so a resumed run keeps those of before.

    Args:
        file: The CSV file.
        say: Called with each line, besides the log.
    """

    def __init__(self, file: Path, say: Callable[[str], None]):
        self.file = file
        self.say = say
        self.started = 0.0
        self.epoch_started = 0.0
        self.training_seconds = 0.0
        self.images = 0
        self.seconds_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The time spent, for a run that is resumed."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The time spent before."""
        self.seconds_before = state_dict["seconds"]

    def _seconds(self) -> float:
        return self.seconds_before + (time.monotonic() - self.started if self.started else 0.0)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; of a run that is resumed, drop the row of an epoch that will be done again."""
        self.started = self.epoch_started = time.monotonic()
        if trainer.is_global_zero:
            keep_rows(self.file, COLUMNS, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self.epoch_started = time.monotonic()
        self.training_seconds = 0.0
        self.images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the pictures."""
        self.images += len(batch[1]) * trainer.world_size
        self.training_seconds = time.monotonic() - self.epoch_started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row. The validation of the epoch is over by now."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
        row |= {name: f"{metrics[name]:.6g}" for name in COLUMNS if name in metrics}
        row |= {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": f"{self._seconds():.1f}",
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}",
            "images_per_second": f"{self.images / max(self.training_seconds, 1e-9):.1f}",
        }
        if not trainer.is_global_zero:
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(row)
            stream.flush()
            os.fsync(stream.fileno())
        line = (
            f"epoch {row['epoch']:>3}  train loss {metrics.get('train_loss', float('nan')):.3f}  "
            f"val loss {metrics.get('val_loss', float('nan')):.3f}  "
            f"val accuracy {100 * metrics.get('val_accuracy', float('nan')):.2f} %  "
            f"{float(row['images_per_second']):.0f} images/s  {float(row['seconds']):.0f} s"
        )
        log.info(line)
        self.say(line)


class ProgressBar(Callback):
    """A bar over the whole run, by epochs or by the clock: epoch, images/s, loss, accuracy, time left.

    Args:
        console: Where it is drawn; nothing is drawn unless that is a terminal.
    """

    def __init__(self, console: Console):
        self.console = console
        self.progress: Progress | None = None
        self.window: tuple[float, int] = (0.0, 0)
        self.images = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        if not (self.console.is_terminal and trainer.is_global_zero):
            return
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("val {task.fields[val]}"),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[left]}"),
            console=self.console,
        )
        self.progress.add_task("train", total=1.0, epoch=0, rate=0.0, loss="-", val="-", left="-")
        self.progress.start()
        self.started = time.monotonic()
        self.done_before = pl_module.progress()  # type: ignore[operator]
        self.window = (self.started, 0)
        self.images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, once a second at most."""
        if self.progress is None:
            return
        self.images += len(batch[1]) * trainer.world_size
        now = time.monotonic()
        since, images = self.window
        if now - since < 1.0:
            return
        done = pl_module.progress()  # type: ignore[operator]
        gained = done - self.done_before
        accuracy = trainer.callback_metrics.get("val_accuracy")
        self.progress.update(
            self.progress.task_ids[0],
            completed=done,
            epoch=trainer.current_epoch + 1,
            rate=(self.images - images) / (now - since),
            loss=f"{float(outputs['loss']) * trainer.accumulate_grad_batches:.3f}",
            val="-" if accuracy is None else f"{100 * float(accuracy):.1f} %",
            left=str(timedelta(seconds=int((now - self.started) / gained * (1 - done))))
            if gained > 0
            else "-",
        )
        self.window = (now, self.images)

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away."""
        self._stop()
