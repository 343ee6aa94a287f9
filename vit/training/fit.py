"""One training run, from Lightning's Trainer to the best checkpoint."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console

from vit.errors import VitError
from vit.training.callbacks import EpochLog, ProgressBar, averaging
from vit.training.checkpoints import LAST, DurableIO, damage
from vit.training.datamodule import RunDataModule
from vit.training.distributed import places
from vit.training.distributed import strategy as chosen_strategy
from vit.training.memory import keep_freed_memory
from vit.training.module import Classifier
from vit.training.resume import LatestCheckpoint, NonFiniteGuard, ResumePosition, RNGState, StepLog


def fit(
    module: Classifier,
    examples: RunDataModule,
    folder: Path,
    *,
    max_epochs: int | None,
    max_time: str | None,
    console: Console,
    precision: str = "32-true",
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    accumulate: int = 1,
    clip: float = 0.0,
    ema: float = 0.0,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    save_every: float = 300.0,
    resume: Path | None = None,
) -> L.Trainer:
    """Train, validate after each epoch, keep the last and the best checkpoint.

    Args:
        module: What learns.
        examples: What it learns from.
        folder: The run folder; written are `metrics.csv`, `steps.csv`,
            `checkpoints/` and `tensorboard/`.
        max_epochs: Epochs, or None.
        max_time: Wall clock of the fit as DD:HH:MM:SS, or None.
        console: Where progress is told.
        precision: As Lightning's.
        accelerator: As Lightning's.
        devices: As Lightning's; `auto` is what torchrun began, where it did.
        num_nodes: As Lightning's; torchrun's with `auto`.
        strategy: As Lightning's, or `fsdp2`.
        accumulate: Batches per optimiser step.
        clip: Largest gradient norm; 0 is off.
        ema: Decay of the averaged weights; 0 is off.
        callbacks: Further ones; they see the averaged weights after a validation.
        progress: Draw the bar where the console is a terminal, say a line per epoch elsewhere.
        save_every: Seconds of training between two checkpoints, at most.
        resume: A checkpoint of this run, to go on from it.

    Returns:
        The trainer, whose `checkpoint_callback` knows the best checkpoint.
    """
    keep_freed_memory()
    checkpoints = folder / "checkpoints"
    drawn = progress and console.is_terminal
    working: list[Callback] = [
        EpochLog(folder / "metrics.csv", (lambda line: None) if drawn else console.print),
        ModelCheckpoint(
            checkpoints,
            filename="best",
            monitor="val_accuracy",
            mode="max",
            enable_version_counter=False,
            save_on_train_epoch_end=False,  # but behind the validation, before the newest state is kept
        ),
        *callbacks,
        RNGState(),
        ResumePosition(),
        NonFiniteGuard(),
        StepLog(folder / "steps.csv"),
    ]
    if progress:
        working.append(ProgressBar(console))
    if max_time is not None:
        days, hours, minutes, seconds = (int(part) for part in max_time.split(":"))
        limit = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        working.append(Timer(limit, interval="step", verbose=False))
    devices, num_nodes = places(devices, num_nodes)
    if ema:
        working.append(averaging(ema))
    working.append(LatestCheckpoint(checkpoints / LAST, save_every))
    with quiet_lightning():
        trainer = L.Trainer(
            max_epochs=-1 if max_epochs is None else max_epochs,
            precision=precision,  # type: ignore[arg-type]
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=chosen_strategy(strategy),
            accumulate_grad_batches=accumulate,
            gradient_clip_val=clip or None,
            callbacks=working,
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            plugins=[DurableIO()],
        )
        joined = torch.distributed.is_initialized()
        try:
            trainer.fit(module, datamodule=examples, ckpt_path=resume, weights_only=True)
        except SystemExit as leaving:
            if leaving.code == 1 and trainer.interrupted:  # Lightning makes of Ctrl-C an exit with 1
                raise KeyboardInterrupt from None
            raise
        if torch.distributed.is_initialized() and not joined:
            # Lightning leaves a group of gloo's open, whose threads abort a process that ends before them.
            torch.distributed.destroy_process_group()
    return trainer


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice to developers off the user's screen.

    It would name workers that tensors in memory do not need, and repeat what the run's own lines say.
    """
    names = ("lightning.pytorch", "lightning.fabric")
    before = [logging.getLogger(name).level for name in names]
    with warnings.catch_warnings():
        for text in (
            ".*overridden `on_after_batch_transfer`.*",
            ".*smaller than the logging interval.*",
            ".*does not have many workers.*",
            ".*exists and is not empty.*",
            ".*LeafSpec.*",
            ".*callbacks used to create the checkpoint.*",
            ".*your dataloader is not resumable.*",  # `ResumePosition` tells the sampler where to go on
            ".*using the WeightAveraging callback with a model that overrides.*",
            ".*lr_scheduler.step.*",
        ):
            warnings.filterwarnings("ignore", text)
        for name in names:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in zip(names, before, strict=True):
                logging.getLogger(name).setLevel(level)


def best_weights(trainer: L.Trainer) -> dict[str, torch.Tensor]:
    """The model's weights in the checkpoint that validated best; under EMA, the averaged ones."""
    callback = trainer.checkpoint_callback
    if not isinstance(callback, ModelCheckpoint) or not callback.best_model_path:
        raise VitError(
            "no checkpoint was written: the run ended before its first validation; give it more time"
        )
    if trouble := damage(Path(callback.best_model_path)):
        raise VitError(f"{trouble}; --resume goes on from the newest checkpoint")
    state = torch.load(callback.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    return {
        name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")
    }
