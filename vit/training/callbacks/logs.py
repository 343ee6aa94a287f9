"""The CSV logs of a run: a row per epoch, a row per step."""

import csv
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vit.atomic import replacing
from vit.training.objective import Objective

STEP_COLUMNS = ("step", "loss", "lr")
FLUSH_STEPS = 50  # reading a loss from a GPU waits for it, so losses are read many at a time

log = logging.getLogger("vit")

WORTH_SAYING = 5  # % of the training time that it waits for data


class EpochLog(Callback):
    """Appends one row per epoch to `metrics.csv`, and writes one line per epoch to the log.

    `data_wait` is the part of the training time, 0 to 1, that the host waited for the next batch. On a GPU
    the model may have worked on earlier ones meanwhile: it waited for no more than that.

    Args:
        file: The CSV file. A resumed run keeps the rows of the epochs before.
        print_line: Called with each line as well.
        noun: What is trained on, in the plural. The column is `images_per_second` for texts, too.
        objective: Its metric has the columns `train_FIGURE` and `val_FIGURE`, and each of `more` has
            `val_FIGURE`.
    """

    def __init__(
        self,
        file: Path,
        print_line: Callable[[str], None],
        noun: str = "images",
        *,
        objective: Objective,
    ):
        self.file = file
        self.objective = objective
        figure, more = objective.figure, [f"val_{name}" for name, _ in objective.more]
        self.columns = (
            "epoch", "step", "seconds", "lr", "train_loss", f"train_{figure}", "val_loss", f"val_{figure}",
            *more, "images_per_second", "data_wait",
        )  # fmt: skip
        self.print_line = print_line
        self.noun = noun
        self.started = 0.0
        self.epoch_started = 0.0
        self.training_seconds = 0.0
        self.waited_before = 0.0
        self.images = 0
        self.seconds_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The training time so far, in seconds."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the clock of the run that is resumed."""
        self.seconds_before = state_dict["seconds"]

    def _seconds(self) -> float:
        return self.seconds_before + (time.monotonic() - self.started if self.started else 0.0)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; in a resumed run, drop the row of an epoch that will be repeated."""
        self.started = self.epoch_started = time.monotonic()
        if trainer.is_global_zero:
            keep_rows(self.file, self.columns, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self.epoch_started = time.monotonic()
        self.training_seconds = 0.0
        self.waited_before = _waited(trainer)
        self.images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the inputs of all processes."""
        self.images += len(batch[1]) * trainer.world_size
        self.training_seconds = time.monotonic() - self.epoch_started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row. Lightning has validated the epoch before it calls this."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = max(self.training_seconds, 1e-9)
        row: dict[str, Any] = dict.fromkeys(self.columns, "")
        row |= {name: f"{metrics[name]:.6g}" for name in self.columns if name in metrics}
        row |= {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": f"{self._seconds():.1f}",
            "lr": f"{_adamw_lr(trainer):.6g}",
            "images_per_second": f"{self.images / seconds:.1f}",
            "data_wait": f"{min(1.0, (_waited(trainer) - self.waited_before) / seconds):.4f}",
        }
        if not trainer.is_global_zero:
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.columns).writerow(row)
            stream.flush()
            os.fsync(stream.fileno())
        waited = 100 * float(row["data_wait"])
        waiting = f", {waited:.0f} % waiting for data" if waited >= WORTH_SAYING else ""
        line = (
            f"epoch {row['epoch']:>3}  train loss {metrics.get('train_loss', float('nan')):.3f}  "
            f"val loss {metrics.get('val_loss', float('nan')):.3f}  "
            f"val {self._figures(metrics)}  "
            f"{float(row['images_per_second']):.0f} {self.noun}/s{waiting}  {float(row['seconds']):.0f} s"
        )
        log.info(line)
        self.print_line(line)

    def _figures(self, metrics: dict[str, float]) -> str:
        """`accuracy 81.20 %`, or `perplexity 34.50, of a word 120.30`."""
        objective = self.objective
        nan = float("nan")
        return ", ".join(
            f"{said} {objective.shown(metrics.get(f'val_{name}', nan))}"
            for name, said in ((objective.figure, objective.figure_name), *objective.more)
        )


class StepLog(Callback):
    """Appends one row per optimizer step to `steps.csv`, with every digit of the loss.

    Args:
        file: The CSV file. A resumed run keeps the rows of the steps before its checkpoint.
    """

    def __init__(self, file: Path):
        self.file = file
        self.pending: list[tuple[int, Tensor, float]] = []  # rows not yet written
        self.loss: Tensor | float = 0.0  # sum over the batches of the current step
        self.last_step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the file; in a resumed run, drop the rows of steps that will be repeated."""
        self.last_step = trainer.global_step
        if trainer.is_global_zero:
            keep_rows(self.file, STEP_COLUMNS, trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a row after the last batch of a step."""
        if not trainer.is_global_zero:
            return
        # Lightning has divided the loss by the number of batches per step.
        self.loss = self.loss + outputs["loss"].detach()
        if trainer.global_step == self.last_step:
            return
        self.pending.append((trainer.global_step, torch.as_tensor(self.loss), _adamw_lr(trainer)))
        self.loss, self.last_step = 0.0, trainer.global_step
        if len(self.pending) >= FLUSH_STEPS:
            self._flush()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the rows up to a checkpoint before the checkpoint itself."""
        self._flush()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the remaining rows."""
        self._flush()

    def _flush(self) -> None:
        if not self.pending:
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            losses = torch.stack([loss for _, loss, _ in self.pending]).tolist()  # waits once
            writer.writerows(
                (step, repr(loss), repr(lr)) for (step, _, lr), loss in zip(self.pending, losses, strict=True)
            )
            stream.flush()
            os.fsync(stream.fileno())
        self.pending.clear()


def _waited(trainer: L.Trainer) -> float:
    """Seconds that the training has waited for its batches so far."""
    return getattr(trainer.train_dataloader, "waited", 0.0)


def _adamw_lr(trainer: L.Trainer) -> float:
    """The current learning rate of AdamW, `optim.lr` at its peak; a group of Muon comes before AdamW's."""
    return trainer.optimizers[0].param_groups[-1]["lr"]


def keep_rows(file: Path, columns: tuple[str, ...], last: int) -> None:
    """Rewrite a CSV file with its header and the rows whose first column is an integer of at most `last`.

    A row that a crash has truncated is dropped. A file that does not exist is created.
    """
    rows: list[dict[str, str]] = []
    if file.exists():
        with file.open(newline="", encoding="utf-8", errors="replace") as stream:
            rows = [row for row in csv.DictReader(stream) if None not in row.values()]
    key = columns[0]
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row[key].isdecimal() and int(row[key]) <= last)
