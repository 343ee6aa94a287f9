"""The progress bar of a run."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from vit.training.objective import percent


class ProgressBar(Callback):
    """One bar for the whole run, not one per epoch: epoch, rate, loss, validation figure, time left.

    Args:
        console: Where the bar is drawn, if it is a terminal.
        noun: What is trained on, in the plural.
        figure: The validation figure.
        shown: How it is shown, with a number of digits after the point.
    """

    def __init__(
        self,
        console: Console,
        noun: str = "images",
        figure: str = "val_accuracy",
        shown: Callable[[float, int], str] = percent,
    ):
        self.console = console
        self.shown = shown
        self.noun = noun
        self.figure = figure
        self.progress: Progress | None = None
        self.last_update: tuple[float, int] = (0.0, 0)  # time, images
        self.images = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        if not (self.console.is_terminal and trainer.is_global_zero):
            return
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn(f"{{task.fields[rate]:,.0f}} {self.noun}/s"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("val {task.fields[val]}"),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[left]}"),
            console=self.console,
        )
        self.progress.add_task("train", total=1.0, epoch=0, rate=0.0, loss="-", val="-", left="-")
        self.progress.start()
        self.started = time.monotonic()
        self.progress_before = pl_module.progress()  # type: ignore[operator]
        self.last_update = (self.started, 0)
        self.images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar, at most once a second."""
        if self.progress is None:
            return
        self.images += len(batch[1]) * trainer.world_size
        now = time.monotonic()
        last_time, last_images = self.last_update
        if now - last_time < 1.0:
            return
        done = pl_module.progress()  # type: ignore[operator]
        gained = done - self.progress_before
        self.progress.update(
            self.progress.task_ids[0],
            completed=done,
            epoch=trainer.current_epoch + 1,
            rate=(self.images - last_images) / (now - last_time),
            loss=f"{float(outputs['loss']) * trainer.accumulate_grad_batches:.3f}",
            val=self._val_figure(trainer),
            left=str(timedelta(seconds=int((now - self.started) / gained * (1 - done))))
            if gained > 0
            else "-",
        )
        self.last_update = (now, self.images)

    def _val_figure(self, trainer: L.Trainer) -> str:
        value = trainer.callback_metrics.get(self.figure)
        return "-" if value is None else self.shown(float(value), 1)

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the run as done, and leave the bar on the terminal."""
        if self.progress is not None:
            self.progress.update(
                self.progress.task_ids[0],
                completed=1.0,
                epoch=trainer.current_epoch,
                val=self._val_figure(trainer),
                left="0:00:00",
            )
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave the bar where the run has stopped."""
        self._stop()
