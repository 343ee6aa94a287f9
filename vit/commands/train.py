"""Train a transformer on pictures or texts; every key of the config is an option.

example:
  vit train --config digits
  vit train --config cifar10_30min --trainer.max_time 00:01:00:00 --name evening
  vit train --config folder --data.root my_pictures --model.width 256
  vit train --config text_sst2 --data.name text --data.root reviews.tsv
"""

import argparse
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vit.config import (
    RUNS,
    Config,
    add_config_arguments,
    first_difference,
    resolve_config,
    to_config,
    to_yaml,
)
from vit.errors import UsageError, VitError
from vit.recipes.checks import check

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from lightning import Trainer
    from rich.console import Console

    from vit.recipes.run import Run

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # of torchrun, Lightning, SLURM
NOT_OF_FIT = ("compile", "overlays", "overlay_method")
PORTABLE = ("name", "val_fraction", "test_fraction", "split_seed")  # what a bundle says of its data: no path


def add_arguments(parser: "ArgumentParser") -> None:
    """The config's fields, and where the run goes."""
    parser.add_argument("--name", help="the run's folder is runs/NAME (default: the config's name)")
    parser.add_argument("--resume", action="store_true", help="continue the run of that name")
    parser.add_argument("--overwrite", action="store_true", help="replace the run of that name")
    add_config_arguments(parser)


def prepare(words: list[str]) -> list[str]:
    """Find the config; a run that is resumed brings its own."""
    if "--resume" not in words:
        return resolve_config(words)
    given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    given.add_argument("--name")
    given.add_argument("--config", default="cifar10")
    known, rest = given.parse_known_args(words)
    name = known.name or Path(known.config).stem
    own = RUNS / name / "config.yaml"
    # A shipped config may have been changed by options; the run's own says what it is.
    config = own if own.is_file() and not Path(known.config).is_file() else known.config
    return [*resolve_config([f"--config={config}", *rest]), "--name", name]


def run(arguments: "Namespace") -> int:
    """Train, keep the best model as a bundle, and write the report."""
    config = check(to_config(arguments))
    folder = RUNS / _run_name(arguments.name or Path(str(arguments.config[0])).stem)
    # Other processes of a distributed run find the folder that the first one made.
    first = all(os.environ.get(rank, "0") == "0" for rank in RANKS)
    if first:
        _bring_back(folder)
        _refuse(folder, config, arguments.resume, arguments.overwrite)

    import lightning as L
    from rich.console import Console

    from vit.atomic import write_text
    from vit.data.loader import loader
    from vit.device import best_device
    from vit.evaluation.metrics import evaluate
    from vit.evaluation.results import read_metrics, write_results
    from vit.recipes.run import prepare
    from vit.training.checkpoints import DurableIO, newest_good
    from vit.training.environment import environment
    from vit.training.fit import best_weights
    from vit.weights import Bundle, write_bundle
    from vit.weights.models import from_bundle

    checkpoint, complaint = newest_good(folder / "checkpoints") if arguments.resume else (None, None)
    if checkpoint is not None and config.trainer.max_epochs is not None:
        epoch = DurableIO().load_checkpoint(checkpoint)["epoch"] + 1
        if epoch > config.trainer.max_epochs:
            most = config.trainer.max_epochs
            raise VitError(
                f"cannot resume {folder}: it is in epoch {epoch}, and --trainer.max_epochs is {most}"
            )
    console = Console(highlight=False, markup=False, soft_wrap=True, quiet=not first)
    L.seed_everything(config.seed, verbose=False)
    made = prepare(config)
    splits = made.splits
    parameters = sum(parameter.numel() for parameter in made.model.parameters())
    machine = environment()
    with _run_folder(folder, arguments.resume, arguments.overwrite) if first else nullcontext():
        if first:
            write_text(folder / "config.yaml", to_yaml(config))
            write_text(folder / "env.json", json.dumps(machine, indent=2) + "\n")
            _log_to(folder / "train.log")
            _open(console, folder, made, parameters)
            if complaint:
                _say(console, complaint)
        made, trainer = _fit_within_memory(config, made, folder, console, checkpoint)
        if not trainer.is_global_zero:
            return 0
        bundle = Bundle(
            architecture=made.architecture,
            labels=splits.labels,
            preprocess=made.preprocess.to_dict(),
            weights=best_weights(trainer),
            tokenizer=getattr(made.preprocess, "definition", None),
            training={
                "data": {name: value for name, value in vars(config.data).items() if name in PORTABLE},
                "seconds": read_metrics(folder / "metrics.csv")[-1]["seconds"],
                "steps": trainer.global_step,
            },
        )
        best = from_bundle(bundle).to(best_device())
        result = evaluate(best, loader(splits.val, 256), made.normalise, len(splits.labels))
        bundle.scores = {"val": result.figures()}
        write_bundle(folder / "model", bundle)
        write_results(
            folder,
            labels=splits.labels,
            parameters=parameters,
            val=splits.val,
            result=result,
            config_yaml=to_yaml(config),
            machine=machine,
        )
        _say(
            console,
            f"val accuracy {100 * result.accuracy:.2f} % (n = {result.n}), "
            f"{bundle.training['seconds']:.0f} s; model {folder / 'model'}, report {folder / 'report.html'}",
        )
    return 3 if splits.skipped else 0


def _fit_within_memory(
    config: Config, made: "Run", folder: Path, console: "Console", checkpoint: Path | None
) -> "tuple[Run, Trainer]":
    """Train; if memory is short before anything was kept, begin anew with half of a batch, twice as often.

    Raises:
        VitError: It is short later, with several processes, or with batches of one.
    """
    import lightning as L
    import torch

    from vit.atomic import write_text
    from vit.recipes.run import prepare

    while True:
        try:
            return made, _fit(config, made, folder, console, checkpoint)
        except torch.OutOfMemoryError:
            size, accumulate = config.data.batch_size, config.trainer.accumulate
            if size == 1:
                raise VitError(
                    "memory is short for one example at a time: --model.width and --model.depth make less"
                ) from None
            alone = all(os.environ.get(name, "1") == "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))
            if checkpoint or not alone or (folder / "checkpoints").is_dir():
                raise VitError(
                    f"memory is short for batches of {size}: --data.batch_size {size // 2} "
                    f"--trainer.accumulate {2 * accumulate} asks for less and learns from as many in a step"
                ) from None
        config.data.batch_size, config.trainer.accumulate = size // 2, 2 * accumulate
        write_text(folder / "config.yaml", to_yaml(config))
        _say(
            console,
            f"memory is short for batches of {size}: beginning anew with {size // 2}, {2 * accumulate} of "
            "them for each step",
        )
        torch.cuda.empty_cache()
        L.seed_everything(config.seed, verbose=False)
        made = prepare(config)


def _fit(config: Config, made: "Run", folder: Path, console: "Console", checkpoint: Path | None) -> "Trainer":
    from vit.device import resolve_precision
    from vit.recipes.run import overlays
    from vit.training.datamodule import RunDataModule
    from vit.training.fit import fit
    from vit.training.resume import DataGuard

    if config.trainer.compile:
        made.model.compile()
    options = {name: value for name, value in vars(config.trainer).items() if name not in NOT_OF_FIT}
    options["precision"] = resolve_precision(config.trainer.precision, config.trainer.accelerator)
    facts = {
        "the list of labels": made.splits.labels,
        "the number of training examples": len(made.splits.train),
        "the number of validation examples": len(made.splits.val),
    }
    return fit(
        made.module,
        RunDataModule(made.splits, config.data.batch_size, config.seed),
        folder,
        console=console,
        clip=config.optim.clip,
        ema=config.optim.ema,
        callbacks=[*overlays(config, made, folder), DataGuard(facts)],
        resume=checkpoint,
        **options,
    )


def _run_name(name: str) -> str:
    """A name that is one folder below `runs/`, and no way out of it."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise UsageError(f"--name is {name!r}, expected a folder's name: the run goes to runs/NAME")
    return name


def _refuse(folder: Path, config: Config, resume: bool, overwrite: bool) -> None:
    """Refuse a folder in use, an empty resume, and a resume of something else."""
    if resume:
        if not (folder / "config.yaml").is_file():
            raise VitError(f"{folder} is no run: there is nothing to resume")
        other = first_difference(folder / "config.yaml", config)
        if other:
            raise VitError(f"cannot resume {folder}: {other}")
    elif folder.exists() and not overwrite:
        raise VitError(_exists(folder))
    elif folder.exists() and not (folder / "config.yaml").is_file():
        raise VitError(
            f"{folder} has no config.yaml, so it is no run: it is not replaced; choose another --name"
        )


def _exists(folder: Path) -> str:
    resumed = "--resume continues it, " if (folder / "checkpoints").is_dir() else ""
    return f"{folder} exists: {resumed}--overwrite replaces it, --name starts another"


def _replaced(folder: Path) -> Path:
    """Where a run waits while the one that replaces it has no checkpoint yet."""
    return folder.with_name(folder.name + ".replaced")


def _bring_back(folder: Path) -> None:
    """Put a run back that a killed one would have replaced, and did not live to."""
    if _replaced(folder).is_dir() and not (folder / "checkpoints").is_dir():
        with _alone(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _replaced(folder).rename(folder)


@contextmanager
def _run_folder(folder: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Make the folder, and keep others out; if the run fails before its first checkpoint, what stood there
    comes back."""
    before = _replaced(folder)
    if overwrite and folder.exists():
        with _alone(folder):
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
    try:
        folder.mkdir(parents=True, exist_ok=resume)
    except FileExistsError:  # another run was quicker
        raise VitError(_exists(folder)) from None
    with _alone(folder):
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if (folder / "checkpoints").is_dir():
                logging.getLogger("vit").info("stopped; --resume goes on")
            raise
        finally:
            if (folder / "checkpoints").is_dir():
                shutil.rmtree(before, ignore_errors=True)
            else:
                logging.shutdown()
                shutil.rmtree(folder)
                if before.is_dir():
                    before.rename(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a folder in which another process trains.

    Raises:
        VitError: One does.
    """
    if not folder.is_dir():
        yield
        return
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VitError(
                f"{folder} is in another process's hands: wait for it, or choose another --name"
            ) from None
        yield


def _open(console: "Console", folder: Path, made: "Run", parameters: int) -> None:
    """Say what is about to be trained, on what."""
    splits = made.splits
    test = 0 if splits.test is None else len(splits.test)
    _say(
        console,
        f"{folder}: {splits.name}, {len(splits.labels)} classes, {len(splits.train)} train / "
        f"{len(splits.val)} val / {test} test {made.what}; {parameters / 1e6:.2f} M parameters",
    )
    for name, reason in splits.skipped:
        logging.getLogger("vit").warning("skipped %s: %s", name, reason)
    if splits.skipped:
        _say(console, f"{len(splits.skipped)} {made.what} skipped; {folder / 'train.log'} names them")


def _say(console: "Console", line: str) -> None:
    logging.getLogger("vit").info(line)
    console.print(line)


def _log_to(file: Path) -> None:
    """Send the log of this run to its file, and nowhere else."""
    log = logging.getLogger("vit")
    for handler in list(log.handlers):
        handler.close()
        log.removeHandler(handler)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
