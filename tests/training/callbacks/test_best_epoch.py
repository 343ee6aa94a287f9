"""The best epoch and the end of a run, on small real runs whose validation figures are given."""

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from vit.training.callbacks.best_epoch import BestCheckpoint, Patience
from vit.training.callbacks.latest_checkpoint import LatestCheckpoint
from vit.training.checkpoints import DurableIO
from vit.training.fit import quiet_lightning

Figures = list[tuple[float, float]]  # validation accuracy and loss of each epoch


class Scripted(L.LightningModule):
    """Has given figures after each epoch."""

    def __init__(self, figures: Figures):
        super().__init__()
        self.figures = figures
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, number: int) -> None:
        accuracy, loss = self.figures[self.current_epoch]
        self.log_dict({"val_accuracy": accuracy, "val_loss": loss})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(
    folder: Path,
    figures: Figures,
    *,
    epochs: int,
    patience: int = 0,
    best: ModelCheckpoint | None = None,
    resume: bool = False,
) -> tuple[L.Trainer, list[str]]:
    """The trainer of a run, and the lines that it has printed."""
    lines: list[str] = []
    callbacks = [best or BestCheckpoint(folder), LatestCheckpoint(folder / "last.ckpt", 300.0)]
    if best is None:
        callbacks.insert(1, Patience(patience, lines.append))
    examples: Any = DataLoader(torch.ones(2, 2))  # type: ignore[arg-type]
    with quiet_lightning(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            max_epochs=epochs, callbacks=callbacks, accelerator="cpu", logger=False, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, plugins=[DurableIO()],
        )  # fmt: skip
        path = folder / "last.ckpt" if resume else None
        trainer.fit(Scripted(figures), examples, examples, ckpt_path=path, weights_only=True)
    return trainer, lines


def kept(folder: Path) -> int:
    """The number of the epoch in `best.ckpt`, counted from 1."""
    return torch.load(folder / "best.ckpt", weights_only=True)["epoch"] + 1


TIES = [(0.5, 0.9), (0.7, 0.8), (0.7, 0.6), (0.7, 0.61), (0.6, 0.1), (0.7, 0.6), (0.69, 0.2)]


@pytest.mark.parametrize("cut", [None, 1, 2, 3, 5, 6])
def test_the_loss_decides_between_equal_accuracies(tmp_path: Path, cut: int | None) -> None:
    """As sorting the epochs does; also for a run that is cut after an epoch and resumed."""
    expected = max(range(len(TIES)), key=lambda epoch: (TIES[epoch][0], -TIES[epoch][1], epoch)) + 1
    assert expected == 6, "a tie of two figures: the later one"
    if cut is not None:
        run(tmp_path, TIES, epochs=cut)
    trainer, _ = run(tmp_path, TIES, epochs=len(TIES), resume=cut is not None)
    assert kept(tmp_path) == expected
    callback = trainer.checkpoint_callback
    assert isinstance(callback, BestCheckpoint)
    assert Path(callback.best_model_path) == tmp_path / "best.ckpt"
    assert float(callback.best_model_score or 0) == pytest.approx(0.7)


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Its best checkpoint was Lightning's own, which keeps the first of equal epochs and no loss."""
    plain = ModelCheckpoint(
        tmp_path, filename="best", monitor="val_accuracy", mode="max", enable_version_counter=False,
        save_on_train_epoch_end=False,
    )  # fmt: skip
    assert plain.state_key == BestCheckpoint(tmp_path).state_key
    run(tmp_path, TIES, epochs=4, best=plain)
    assert kept(tmp_path) == 2
    run(tmp_path, TIES, epochs=5, resume=True)
    assert kept(tmp_path) == 2, "the score is that of the run before: epoch 5 is worse"
    run(tmp_path, TIES, epochs=7, resume=True)
    assert kept(tmp_path) == 6


WAITS = [(0.5, 0.9), (0.5, 0.8), (0.5, 0.8), (0.4, 0.1), (0.5, 0.7), (0.5, 0.7), (0.5, 0.7), (0.9, 0.1)]


@pytest.mark.parametrize("cut", [None, 2, 3, 4, 6])
def test_patience(tmp_path: Path, cut: int | None) -> None:
    """Epochs 3 and 4 are not better than 2, 5 is, 6 and 7 are not; 8 would be."""
    if cut is not None:
        run(tmp_path, WAITS, epochs=cut, patience=0)
    trainer, lines = run(tmp_path, WAITS, epochs=8, patience=2, resume=cut is not None)
    ended = 4 if cut is None or cut <= 4 else 7
    assert trainer.current_epoch == ended
    assert lines == [f"no better epoch in 2: stopped after epoch {ended}"]


def test_more_patience_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, WAITS, epochs=8, patience=2)[0].current_epoch == 4
    trainer, lines = run(tmp_path, WAITS, epochs=8, patience=2, resume=True)
    assert (trainer.global_step, lines) == (8, ["no better epoch in 2: stopped after epoch 4"])
    assert run(tmp_path, WAITS, epochs=8, patience=3, resume=True)[0].current_epoch == 8
    assert kept(tmp_path) == 8
