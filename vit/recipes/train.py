"""A training run from start to finish: from a config to a run folder with a model bundle and a report."""

import json
import logging
import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from rich.console import Console

from vit.atomic import write_text
from vit.config import Config
from vit.core import Tower
from vit.data.roster import DATASETS, KIND_NAMES
from vit.data.splits.record import SplitRecord, record_of, write_record
from vit.device import best_device, is_out_of_memory, resolve_precision
from vit.errors import VitError
from vit.evaluation.results import read_metrics, write_results
from vit.evaluation.several.metrics import MultilabelEvaluation
from vit.recipes.duration import cpu_notice
from vit.recipes.features import weights_without_head
from vit.recipes.frozen import feature_splits
from vit.recipes.image import overlays, prepare_images
from vit.recipes.language import prepare_language
from vit.recipes.recorded import recorded_yaml
from vit.recipes.resume import find_checkpoint, record_to_resume
from vit.recipes.run import PreparedRun
from vit.recipes.text import prepare_texts
from vit.training.callbacks.resume import DataGuard
from vit.training.checkpoints import write_frozen
from vit.training.datamodule import RunDataModule
from vit.training.distributed import require_accelerator
from vit.training.environment import environment
from vit.training.fit import best_weights, fit
from vit.training.run_folder import RunFolder, is_rank_zero
from vit.weights import write_bundle
from vit.weights.models import from_bundle
from vit.weights.unfinished import write_outline

# Keys of `trainer` that are not arguments of `fit`.
NOT_FOR_FIT = ("on_cpu", "overlays", "overlay_method")

log = logging.getLogger("vit")


@dataclass
class TrainedRun:
    """Result of a training run.

    Args:
        folder: The run folder.
        model: The model with the best validation accuracy, with several labels the best mean average
            precision, of language models the lowest perplexity; in eval mode.
        metrics: Its metrics on the validation split: n, accuracy, accuracy_top5, loss, calibration_error
            and more; with several labels n, map, f1_micro, f1_macro, accuracy, loss; of a language model n,
            tokens, perplexity, perplexity_word and more.
        skipped: Number of examples of the dataset that could not be read.
    """

    folder: Path
    model: Tower
    metrics: dict[str, Any]
    skipped: int


@isolate_rng(include_cuda=False)
def train(config: Config, run_folder: RunFolder, console: Console) -> TrainedRun | None:
    """Train a model, keep the best one as a bundle, and write the report.

    Random numbers on the CPU go on afterwards as if there had been no run.

    Args:
        config: A config that `vit.recipes.checks.check` has accepted. It is not changed.
        run_folder: As `prepare_run_folder` gives it for this config.
        console: Where progress is shown.

    Returns:
        The result; None in the processes of a distributed run other than the first.

    Raises:
        VitError: The data, the checkpoint or the folder cannot be used, or the run failed; one line that says
            how to go on.
    """
    config = deepcopy(config)
    folder = run_folder.path
    require_accelerator(config.trainer.accelerator)
    checkpoint, states, notes = find_checkpoint(config, run_folder)
    record = record_to_resume(config, folder) if checkpoint else None
    L.seed_everything(config.seed, verbose=False)
    run = prepare(config, checkpoint, record)
    guard = _data_guard(run)
    guard.load_state_dict(states.get(guard.state_key, {}))  # other data are refused before a file is written
    machine = environment()
    with run_folder.open():
        if is_rank_zero():
            write_text(folder / "config.yaml", recorded_yaml(config, run.model.architecture))
            write_text(folder / "env.json", json.dumps(machine, indent=2) + "\n")
            if record is None and run.keeps_record:
                write_record(folder, record_of(run.splits.as_dict(), run.splits.labels))
            write_outline(folder / "model", run.bundle(config.data, {}))
            if config.model.freeze and checkpoint is None:
                write_frozen(folder / "checkpoints", weights_without_head(run.model))
            _report_start(console, folder, run)
            for line in run.initial.said:  # when the weights were read, before there was a folder
                log.info(line)
            if run.initial.note and checkpoint is None:
                _report(console, run.initial.note)
            for line in filter(None, (*notes, cpu_notice(config, run))):
                _report(console, line)
        run, trainer = _fit_within_memory(config, run, run_folder, console, checkpoint)
        if not trainer.is_global_zero:
            return None
        return _finish(config, run, trainer, folder, console, machine)


def prepare(config: Config, checkpoint: Path | None = None, record: SplitRecord | None = None) -> PreparedRun:
    """Read the data and build the model that a config describes.

    Args:
        config: The run's config.
        checkpoint: The one to resume from; its weights are not loaded here.
        record: Of the run that is continued.

    Raises:
        VitError: The data are missing or broken, or the parts of the model do not fit each other.
    """
    dataset = DATASETS[config.data.name]
    if not dataset.labelled:
        return prepare_language(config, checkpoint, record)
    recipes = {"image": prepare_images, "text": prepare_texts}
    return recipes[dataset.kind](config, checkpoint, record)


def _data_guard(run: PreparedRun) -> DataGuard:
    return DataGuard(
        {
            "the list of labels": run.splits.labels,
            "the number of training examples": len(run.splits.train),
            "the number of validation examples": len(run.splits.val),
        }
    )


def _fit_within_memory(
    config: Config, run: PreparedRun, run_folder: RunFolder, console: Console, checkpoint: Path | None
) -> tuple[PreparedRun, L.Trainer]:
    """Train; if memory runs out before the first checkpoint, start over with half the batch size.

    Twice as many batches are accumulated per step then, so that a step sees as many examples. `config` gets
    the new values.

    Raises:
        VitError: Memory runs out later, with several processes, or with batches of one.
    """
    while True:
        try:
            return run, _fit(config, run, run_folder.path, console, checkpoint)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            size, accumulate = config.data.batch_size, config.trainer.accumulate
            if size == 1:
                raise VitError(
                    "out of memory with a batch of one example: lower --model.width or --model.depth"
                ) from None
            if checkpoint or not _is_only_process() or run_folder.has_checkpoints:
                raise VitError(
                    f"out of memory with batches of {size}: --data.batch_size {size // 2} "
                    f"--trainer.accumulate {2 * accumulate} needs less memory for as many examples per step"
                ) from None
        config.data.batch_size, config.trainer.accumulate = size // 2, 2 * accumulate
        write_text(run_folder.path / "config.yaml", recorded_yaml(config, run.model.architecture))
        _report(
            console,
            f"out of memory with batches of {size}: starting over with batches of {size // 2}, "
            f"{2 * accumulate} per step",
        )
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
        L.seed_everything(config.seed, verbose=False)
        run = prepare(config)


def _is_only_process() -> bool:
    return all(os.environ.get(name, "1") == "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))


def _fit(
    config: Config, run: PreparedRun, folder: Path, console: Console, checkpoint: Path | None
) -> L.Trainer:
    options = {name: value for name, value in vars(config.trainer).items() if name not in NOT_FOR_FIT}
    options["precision"] = resolve_precision(config.trainer.precision, config.trainer.accelerator)
    splits = run.splits
    if config.model.freeze:  # a head alone is as fast exactly
        splits, options["precision"] = feature_splits(run, config), "32-true"
    return fit(
        run.module,
        RunDataModule(splits, config.data.batch_size, config.seed, balanced=config.data.balance == "sampler"),
        folder,
        console=console,
        clip=config.optim.clip,
        ema=config.optim.ema,
        callbacks=[*overlays(config, run, folder), _data_guard(run)],
        noun=f"{run.model.reads}s",
        resume=checkpoint,
        **options,
    )


def _finish(
    config: Config,
    run: PreparedRun,
    trainer: L.Trainer,
    folder: Path,
    console: Console,
    machine: dict[str, Any],
) -> TrainedRun:
    """Evaluate the best model, write the bundle, the plots and the report."""
    splits = run.splits
    weights = best_weights(trainer)  # first: a run without a validation may have no metrics.csv
    if config.model.freeze:
        weights = weights_without_head(run.model) | weights
    seconds = read_metrics(folder / "metrics.csv")[-1]["seconds"]
    bundle = run.bundle(config.data, weights)
    bundle.training |= {"seconds": seconds, "steps": trainer.global_step}
    model: Any = from_bundle(bundle)
    model.source = {"word": str(folder)} | model.source
    result = run.measure(model.to(best_device()))
    figures = result.figures()
    if isinstance(result, MultilabelEvaluation):
        bundle.thresholds = model.thresholds = result.thresholds
    bundle.scores = {"val": figures}
    write_bundle(folder / "model", bundle)
    write_results(
        folder,
        labels=splits.labels,
        parameters=run.num_parameters,
        val=splits.val,
        result=result,
        config_yaml=recorded_yaml(config, run.model.architecture),
        machine=machine,
    )
    objective = run.module.objective
    headline = ", ".join(
        f"{said} {objective.shown(figures[name] or 0.0)}"
        for name, said in ((objective.figure, objective.figure_name), *objective.more)
    )
    _report(
        console,
        f"val {headline} (n = {result.n}), "
        f"{seconds:.0f} s; "
        f"model {folder / 'model'}, report {folder / 'report.html'}",
    )
    return TrainedRun(folder, model, figures, len(splits.skipped))


def _report_start(console: Console, folder: Path, run: PreparedRun) -> None:
    """Report the data and the size of the model."""
    splits, examples = run.splits, KIND_NAMES[run.model.reads]
    outputs = f"{len(splits.labels)} classes"
    if run.writes:
        outputs = (
            f"{run.module.objective.classes:,} tokens known, {int(splits.train.tokens.sum()):,} in train"
        )
    counts = " / ".join(
        f"{0 if part is None else len(part.names)} {name}"
        for name, part in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    )
    parameters = f"{run.num_parameters / 1e6:.2f} M parameters"
    _report(console, f"{folder}: {splits.name}, {outputs}, {counts} {examples}; {parameters}")
    for note in splits.notes:
        _report(console, note)
    if splits.new is not None:
        _report(console, f"{len(splits.new.names):,} {examples} are new since the run began, and left aside")
    for name, reason in splits.skipped:
        log.warning("skipped %s: %s", name, reason)
    if splits.skipped:
        _report(console, f"{len(splits.skipped)} {examples} skipped; {folder / 'train.log'} names them")


def _report(console: Console, line: str) -> None:
    """Write a line to the log and to the console."""
    log.info(line)
    console.print(line)
