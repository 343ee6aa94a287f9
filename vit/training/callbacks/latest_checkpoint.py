"""The checkpoint that a run is resumed from."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

# Several processes agree on saving once in so many steps: to ask each other, they wait for their devices.
AGREE_EVERY = 10
SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none


class LatestCheckpoint(Callback):
    """Saves `last.ckpt` after each epoch, at intervals within one, and on SIGTERM, SIGINT or SIGHUP.

    A signal ends the run after the current step, of several processes within `AGREE_EVERY` steps, with a
    checkpoint. During validation it ends the run after the validation, because the epoch's last step and its
    validation belong together. A second signal ends the run at once, except SIGHUP: a terminal that closes
    sends it twice. Under `nohup` SIGHUP is ignored.

    Args:
        file: The checkpoint.
        interval: Longest training time between two checkpoints, in seconds.
    """

    def __init__(self, file: Path, interval: float):
        self.file, self.interval = file, interval
        self.saved_at = 0.0
        self.received_signal: int | None = None
        self.previous_handlers: dict[int, Any] = {}
        self.terminals: list[int] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Install the signal handlers; Python allows that in the main thread only."""
        self.saved_at = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGTERM, signal.SIGINT]
        if SIGHUP is not None and signal.getsignal(SIGHUP) != signal.SIG_IGN:
            numbers.append(SIGHUP)
            self.terminals = _terminals()
        for number in numbers:
            self.previous_handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == SIGHUP:
            _discard_output(self.terminals)
            self.received_signal = self.received_signal or number
            return
        if self.received_signal is not None:
            self._restore_handlers()
            signal.raise_signal(number)
        self.received_signal = number

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if the interval has elapsed or a signal arrived.

        After an epoch's last batch the validation comes first, and `on_train_epoch_end` saves.
        """
        # A checkpoint holds no gradients that are accumulated for a later step.
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if trainer.world_size > 1 and (batch_idx + 1) // trainer.accumulate_grad_batches % AGREE_EVERY:
            return
        due = time.monotonic() - self.saved_at >= self.interval
        if _any_process(trainer, due or self.received_signal is not None):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save."""
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.file)
        self.saved_at = time.monotonic()
        if not _any_process(trainer, self.received_signal is not None):
            return
        if self.received_signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + (self.received_signal or signal.SIGTERM))  # none: another process got it

    def _restore_handlers(self) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)
        self.previous_handlers.clear()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the previous signal handlers."""
        self._restore_handlers()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Restore the previous signal handlers."""
        self._restore_handlers()


def _terminals() -> list[int]:
    """The file descriptors of standard output and standard error, where they are terminals."""
    return [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]


def _discard_output(descriptors: list[int]) -> None:
    """Send what is written to these nowhere: to write to a terminal that is closed would end the run."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _any_process(trainer: L.Trainer, here: bool) -> bool:
    """Whether `here` is true in any process; all processes must save together."""
    return trainer.strategy.reduce_boolean_decision(here, all=False)
