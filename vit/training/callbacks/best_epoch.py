"""Which epoch is the best: its checkpoint, and the end of a run that finds no better one."""

import logging
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

# The validation accuracy, with several labels the mean average precision (mAP), or minus the perplexity; and
# minus the validation loss: the larger is better, in this order.
Rank = tuple[float, float]

log = logging.getLogger("vit")


def epoch_rank(trainer: L.Trainer, figure: str, sign: int = 1) -> Rank:
    """The order of epochs: the better figure, and among equal ones the lower validation loss.

    Args:
        trainer: After a validation.
        figure: `val_accuracy`, `val_map` or `val_perplexity`.
        sign: 1: the higher figure is better; -1: the lower.
    """
    metrics = trainer.callback_metrics
    return sign * float(metrics[figure]), -float(metrics["val_loss"])


class BestCheckpoint(ModelCheckpoint):
    """Saves `best.ckpt` after the validation of every epoch that is the best so far.

    Of two epochs with the same figure the one with the lower loss is better, of two that are equal the
    later one: a small validation split gives many ties, and the first of them is the least trained.

    Args:
        folder: Of the checkpoint.
        figure: Which is compared.
        sign: As in `epoch_rank`.
    """

    def __init__(self, folder: Path, figure: str = "val_accuracy", sign: int = 1):
        self.sign = sign
        super().__init__(
            folder,
            filename="best",
            monitor=figure,
            mode="max" if sign > 0 else "min",
            enable_version_counter=False,
            save_on_train_epoch_end=False,  # but after the validation, and so before LatestCheckpoint
        )
        self.best_loss = float("inf")

    @property
    def state_key(self) -> str:
        """That of `ModelCheckpoint`, under which earlier versions have stored the state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        """Whether this epoch is the best so far; then its loss is kept, to compare later ones with."""
        rank = epoch_rank(trainer, str(self.monitor), self.sign)
        score = self.best_model_score
        better = score is None or rank >= (self.sign * float(score), -self.best_loss)
        better = trainer.strategy.reduce_boolean_decision(better)  # all processes save together
        if better:
            self.best_loss = -rank[1]
        return better

    def state_dict(self) -> dict[str, Any]:
        """The state of `ModelCheckpoint`, and the loss of the best epoch."""
        return super().state_dict() | {"best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Earlier versions have stored no loss: the next epoch with the same figure is then better."""
        super().load_state_dict(state_dict)
        self.best_loss = state_dict.get("best_loss", float("inf"))


class Patience(Callback):
    """Ends the training after a number of epochs without a better one.

    Lightning's `EarlyStopping` compares one figure; this compares as `BestCheckpoint` does, except that an
    epoch which equals the best is not better. A run that it has ended ends again when it is resumed, unless
    it is given more patience.

    Args:
        epochs: Epochs without a better one, after which training ends; 0: never.
        print_line: Called with the line that says so.
        figure: As in `BestCheckpoint`, as is `sign`.
        sign: See `figure`.
    """

    def __init__(
        self, epochs: int, print_line: Callable[[str], None], figure: str = "val_accuracy", sign: int = 1
    ):
        self.epochs, self.figure, self.sign = epochs, figure, sign
        self.print_line = print_line
        self.waited = 0
        self.best: Rank = (-inf, -inf)

    def state_dict(self) -> dict[str, Any]:
        """The count, and the best figure with its loss; also where patience has no end: it may get one."""
        return {"waited": self.waited, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count."""
        self.waited, self.best = state_dict["waited"], state_dict["best"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End a resumed run that had ended."""
        self._stop_when_due(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the epoch; the validation comes before this, unless the time was over."""
        if self.figure not in trainer.callback_metrics:
            return
        rank = epoch_rank(trainer, self.figure, self.sign)
        self.waited = 0 if rank > self.best else self.waited + 1
        self.best = max(rank, self.best)
        self._stop_when_due(trainer, trainer.current_epoch + 1)

    def _stop_when_due(self, trainer: L.Trainer, epochs_done: int) -> None:
        if not 0 < self.epochs <= self.waited:
            return
        trainer.should_stop = True
        if trainer.is_global_zero:
            line = f"no better epoch in {self.waited}: stopped after epoch {epochs_done}"
            log.info(line)
            self.print_line(line)
