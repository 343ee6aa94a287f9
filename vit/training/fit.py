"""One training run: Lightning's Trainer with this package's callbacks, and the best weights."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from rich.console import Console

from vit.config import Compile, LoggerName
from vit.cores import limit_torch_threads
from vit.errors import VitError, one_line_message
from vit.training.callbacks.averaging import Averaging
from vit.training.callbacks.best_epoch import BestCheckpoint, Patience
from vit.training.callbacks.compile_step import CompileStep
from vit.training.callbacks.latest_checkpoint import LatestCheckpoint
from vit.training.callbacks.logs import EpochLog, StepLog
from vit.training.callbacks.nonfinite_guard import NonFiniteGuard
from vit.training.callbacks.progress_bar import ProgressBar
from vit.training.callbacks.resume import ResumePosition, RNGState
from vit.training.checkpoints import DurableIO, damage
from vit.training.datamodule import RunDataModule
from vit.training.distributed import resolve_strategy, torchrun_devices
from vit.training.loggers import make_logger
from vit.training.memory import keep_freed_memory
from vit.training.module import Classifier
from vit.training.objective import Objective
from vit.training.run_folder import LAST
from vit.weights.unfinished import checkpoint_weights


def fit(
    module: Classifier,
    datamodule: RunDataModule,
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
    patience: int = 0,
    compile: Compile = False,
    progress: bool = True,
    logger: LoggerName = "tensorboard",
    callbacks: Sequence[Callback] = (),
    save_every: float = 300.0,
    noun: str = "images",
    resume: Path | None = None,
) -> L.Trainer:
    """Train, validate after each epoch, keep the last and the best checkpoint.

    Args:
        module: The model with its loss and optimiser.
        datamodule: The data.
        folder: The run folder. `metrics.csv`, `steps.csv`, `checkpoints/`, and what `logger` writes.
        max_epochs: Epochs, or None.
        max_time: Wall-clock limit as DD:HH:MM:SS, or None.
        console: Where progress is shown.
        precision: As Lightning's.
        accelerator: As Lightning's.
        devices: As Lightning's; with `auto` under torchrun, its number of processes.
        num_nodes: As Lightning's; under torchrun with `devices` of `auto`, its number of nodes.
        strategy: As Lightning's, or `fsdp2`.
        accumulate: Batches per optimiser step.
        clip: Largest gradient norm; 0 is off.
        ema: Decay of the averaged weights; 0 is off.
        patience: Epochs without a better one, after which training ends; 0 is off.
        compile: Whether the training step is compiled, as in `vit.config.TrainerConfig`.
        progress: Show the progress bar if the console is a terminal; elsewhere print a line per epoch.
        logger: What gets the figures beside the CSV files, as in `vit.config.TrainerConfig`.
        callbacks: Further callbacks. After a validation they see the averaged weights.
        save_every: Longest training time between two checkpoints, in seconds.
        noun: What is trained on, in the plural; for what is shown.
        resume: A checkpoint of this run to resume from.

    Returns:
        The trainer. Its `checkpoint_callback` has the path of the best checkpoint.

    Raises:
        VitError: The machine does not have these devices, or the run failed.
    """
    keep_freed_memory()
    limit_torch_threads()
    devices, num_nodes = torchrun_devices(devices, num_nodes)
    all_callbacks = _all_callbacks(
        folder,
        console,
        callbacks,
        compile=compile,
        progress=progress,
        max_time=max_time,
        ema=ema,
        patience=patience,
        save_every=save_every,
        noun=noun,
        objective=module.objective,
    )
    with quiet_lightning():
        trainer = _trainer(
            max_epochs=-1 if max_epochs is None else max_epochs,
            precision=precision,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=resolve_strategy(strategy),
            accumulate_grad_batches=accumulate,
            gradient_clip_val=clip or None,
            callbacks=all_callbacks,
            logger=make_logger(logger, folder, resumed=resume is not None),
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            plugins=[DurableIO()],
        )
        had_process_group = torch.distributed.is_initialized()
        try:
            trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
        except SystemExit as exit_:
            if exit_.code == 1 and trainer.interrupted:  # Lightning turns Ctrl-C into exit code 1
                raise KeyboardInterrupt from None
            raise
        if torch.distributed.is_initialized() and not had_process_group:
            # Lightning leaves a gloo group open; its threads abort a process that ends before them.
            torch.distributed.destroy_process_group()
    return trainer


def _trainer(**options: Any) -> L.Trainer:
    """Lightning's Trainer.

    Raises:
        VitError: The machine does not have the devices that are asked for.
    """
    try:
        return L.Trainer(**options)
    except MisconfigurationException as error:
        raise VitError(
            f"trainer.accelerator is {options['accelerator']}, trainer.devices is {options['devices']}, and "
            f"trainer.strategy is {options['strategy']}: {one_line_message(error)}"
        ) from None


def time_limit(max_time: str) -> timedelta:
    """A wall clock as DD:HH:MM:SS."""
    days, hours, minutes, seconds = (int(part) for part in max_time.split(":"))
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _all_callbacks(
    folder: Path,
    console: Console,
    extra_callbacks: Sequence[Callback],
    *,
    compile: Compile,
    progress: bool,
    max_time: str | None,
    ema: float,
    patience: int,
    save_every: float,
    noun: str,
    objective: Objective,
) -> list[Callback]:
    """The callbacks of a run, in the order in which Lightning calls them."""
    checkpoints = folder / "checkpoints"
    bar_is_shown = progress and console.is_terminal
    figure = f"val_{objective.figure}"
    callbacks: list[Callback] = [
        EpochLog(
            folder / "metrics.csv",
            (lambda line: None) if bar_is_shown else console.print,
            noun,
            objective=objective,
        ),
        BestCheckpoint(checkpoints, figure, objective.sign),
        Patience(patience, console.print, figure, objective.sign),
        *extra_callbacks,
        RNGState(),
        ResumePosition(),
        NonFiniteGuard(),
        CompileStep(compile),
        StepLog(folder / "steps.csv"),
    ]
    if progress:
        callbacks.append(ProgressBar(console, noun, figure, objective.shown))
    if max_time is not None:
        callbacks.append(Timer(time_limit(max_time), interval="step", verbose=False))
    if ema:
        callbacks.append(Averaging(ema))
    callbacks.append(LatestCheckpoint(checkpoints / LAST, save_every))
    return callbacks


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice to developers, such as more workers, which data in memory do not need."""
    names = ("lightning.pytorch", "lightning.fabric")
    levels = [logging.getLogger(name).level for name in names]
    with warnings.catch_warnings():
        for text in (
            ".*overridden `on_(before|after)_batch_transfer`.*",
            ".*smaller than the logging interval.*",
            ".*does not have many workers.*",
            ".*exists and is not empty.*",
            ".*LeafSpec.*",
            ".*callbacks used to create the checkpoint.*",
            ".*your dataloader is not resumable.*",  # the sampler is, by `ResumePosition`
            ".*using the WeightAveraging callback with a model that overrides.*",
            ".*lr_scheduler.step.*",
            ".*returned a view tensor.*",  # of FSDP2: no operation on logits is in place
        ):
            warnings.filterwarnings("ignore", text)
        for name in names:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in zip(names, levels, strict=True):
                logging.getLogger(name).setLevel(level)


def best_weights(trainer: L.Trainer) -> dict[str, torch.Tensor]:
    """The model's weights in the checkpoint with the best validation accuracy; with EMA, the averaged ones.

    Raises:
        VitError: There is no such checkpoint, or it is damaged.
    """
    callback = trainer.checkpoint_callback
    if not isinstance(callback, ModelCheckpoint) or not callback.best_model_path:
        raise VitError(
            "no checkpoint was written, because the run ended before its first validation: give it more time"
        )
    if problem := damage(Path(callback.best_model_path)):
        raise VitError(f"{problem}; --resume goes on from the newest checkpoint")
    return checkpoint_weights(DurableIO().load_checkpoint(callback.best_model_path))
