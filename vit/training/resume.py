"""What a run needs to go on as if nothing had happened: its place, chance, a log of steps, a newest state."""

import csv
import os
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vit.atomic import replacing
from vit.errors import VitError
from vit.training.distributed import whole

STEP_COLUMNS = ("step", "loss", "lr")
FLUSH = 50  # steps: to read a loss from a GPU is to wait for it


class RNGState(Callback):
    """The state of torch's generators, from which dropout draws, travels with a checkpoint."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What the next step would draw from."""
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until all that draws before the first step has drawn."""
        self.loaded = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on where the checkpoint was made."""
        if self.loaded is not None:
            torch.set_rng_state(self.loaded["cpu"])
            torch.cuda.set_rng_state_all(self.loaded["cuda"][: torch.cuda.device_count()])
            self.loaded = None


class DataGuard(Callback):
    """Refuses to go on with other data.

    Args:
        facts: What must be as it was: plain values.
    """

    def __init__(self, facts: dict[str, Any]):
        self.facts = facts

    def state_dict(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare.

        Raises:
            VitError: With the name of the first that differs.
        """
        for name, before in state_dict.items():
            if (now := self.facts.get(name)) != before:
                raise VitError(
                    f"cannot resume: {name} is {_short(now)}, and was {_short(before)} when the run began"
                )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"


class ResumePosition(Callback):
    """Goes on in the middle of an epoch, at the batch behind the last one that was learnt."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell the sampler how much of its epoch is done."""
        progress = trainer.fit_loop.epoch_loop.batch_progress
        done = progress.current.ready if trainer.fit_loop.restarted_mid_epoch else 0
        loader: Any = trainer.train_dataloader
        loader.sampler.skip(done)


class StepLog(Callback):
    """One row per step to `steps.csv`, with the loss as exactly as it was computed.

    Args:
        file: The CSV file.
    """

    def __init__(self, file: Path):
        self.file = file
        self.waiting: list[tuple[int, Tensor, float]] = []
        self.loss: Tensor | float = 0.0  # of the batches of a step, added up
        self.last = 0  # step

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin the file; of a run that is resumed, drop the steps that will be done again."""
        self.last = trainer.global_step
        if trainer.is_global_zero:
            keep_rows(self.file, STEP_COLUMNS, trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the step, once its last batch is through."""
        if not trainer.is_global_zero:
            return
        self.loss = self.loss + outputs["loss"].detach()  # Lightning has divided it by the batches of a step
        if trainer.global_step == self.last:
            return
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.waiting.append((trainer.global_step, torch.as_tensor(self.loss), rate))
        self.loss, self.last = 0.0, trainer.global_step
        if len(self.waiting) >= FLUSH:
            self._flush()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A checkpoint's steps are on the disk before it is."""
        self._flush()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the rest."""
        self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerows((step, repr(float(loss)), repr(rate)) for step, loss, rate in self.waiting)
            stream.flush()
            os.fsync(stream.fileno())
        self.waiting.clear()


def keep_rows(file: Path, columns: tuple[str, ...], most: int) -> None:
    """A CSV file with the rows whose first column is a number up to `most`, and its header.

    A row that a crash has cut short goes.
    """
    rows: list[dict[str, str]] = []
    if file.exists():
        with file.open(newline="", encoding="utf-8", errors="replace") as stream:
            rows = [row for row in csv.DictReader(stream) if None not in row.values()]
    number = columns[0]
    with replacing(file) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row[number].isdecimal() and int(row[number]) <= most)


class LatestCheckpoint(Callback):
    """Keeps the newest state: every so often, behind each epoch, and behind the step that a signal meets.

    SIGTERM and SIGINT end the run with a checkpoint, behind the step they meet; in a validation, once it is
    over, for the epoch's last step and its validation belong together. A second signal ends it at once.

    Args:
        file: The checkpoint.
        seconds: Of training between two of them, at most.
    """

    def __init__(self, file: Path, seconds: float):
        self.file, self.seconds = file, seconds
        self.saved = 0.0
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen."""
        self.saved = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.received is not None:
            self._hand_back()
            signal.raise_signal(number)
        self.received = number

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time or somebody asked; behind an epoch's last batch the validation comes first."""
        # Gradients that wait for more batches before a step are in no checkpoint.
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        late = time.monotonic() - self.saved >= self.seconds
        if _any_process(trainer, late or self.received is not None):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save."""
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.file)
        self.saved = time.monotonic()
        if not _any_process(trainer, self.received is not None):
            return
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _hand_back(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before.clear()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen no more."""
        self._hand_back()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Listen no more."""
        self._hand_back()


def _any_process(trainer: L.Trainer, here: bool) -> bool:
    """Whether any process says so: all save together, or none."""
    return trainer.strategy.reduce_boolean_decision(here, all=False)


class NonFiniteGuard(Callback):
    """Steps whose loss or gradient is no number are left out and counted; too many in a row end the run.

    Args:
        most: Steps in a row.
    """

    def __init__(self, most: int = 10):
        self.most = most
        self.row = self.skipped = 0

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"row": self.row, "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counts of before."""
        self.row, self.skipped = state_dict["row"], state_dict["skipped"]

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Take away gradients that are no numbers, so that the step leaves every weight as it is."""
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        if all(torch.stack([whole(gradient.isfinite().all()) for gradient in gradients]).tolist()):
            self.row = 0
            return
        optimizer.zero_grad()
        self.row += 1
        self.skipped += 1
        if self.row >= self.most:
            raise VitError(
                f"the loss or its gradient was no number in {self.row} steps in a row, the last of them step "
                f"{trainer.global_step}: lower optim.lr, or look for such numbers in the data; earlier "
                "checkpoints are kept"
            )
