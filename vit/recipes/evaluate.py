"""From a model, a dataset and a split to figures: accuracy, loss, calibration, faithfulness of maps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.config import DataConfig
from vit.config_file import stored_config
from vit.data.datasets import read
from vit.data.division import Division, by_record, divide, regrouped
from vit.data.found import Found
from vit.data.images import Batch
from vit.data.loader import loader
from vit.data.preprocess import match_channels
from vit.data.roster import FOUND_BY_NAME, find_dataset
from vit.data.split_record import FILE as RECORD_FILE
from vit.data.split_record import LEARNT, SplitRecord, read_record
from vit.errors import UsageError, VitError
from vit.evaluation.examples import Examples
from vit.evaluation.faithfulness import measure
from vit.evaluation.metrics import Evaluation, evaluate
from vit.jobs.ranks import Ranks, distributed_ranks
from vit.recipes.data import named_data, read_options, tokenised, unchanged
from vit.weights.models import is_bundled, open_bundle

MAPS_AT_ONCE = 32  # images whose maps are computed together


class EvaluationData(NamedTuple):
    """A dataset as a model reads it.

    Args:
        name: Of the dataset.
        parts: Its examples, by the name that `--split` takes.
        labels: Class names of the dataset.
        skipped: Examples that could not be read, each with the reason.
        notes: What was left aside, a line each.
        prepare: From a batch of the parts to the model's channels, on the CPU.
        normalise: From a prepared batch to the model's input, on its device.
    """

    name: str
    parts: dict[str, Any]
    labels: list[str]
    skipped: list[tuple[str, str]]
    notes: list[str]
    prepare: Callable[[Tensor], Tensor]
    normalise: Callable[[Tensor], Tensor]


def evaluation_data(model: Any, word: str, data: str | None, **columns: Any) -> EvaluationData:
    """The dataset to measure a model on.

    What the model's run has in train or val, by its `splits.csv`, is in no other part here.

    Args:
        model: With `preprocess`.
        word: The MODEL word that it was loaded from.
        data: A dataset's name or path, all of which is `test` unless it has parts of its own; None: what the
            model was trained on, in the parts of its run, and `new` for what the run has not seen.
        columns: Fields of `DataConfig` that say how a table is read, where they are given.

    Raises:
        VitError: There is no such dataset, it holds examples of another kind than the model reads, or the run
            does not say which examples it was trained on.
    """
    config, record = _data_config(word, data, texts=model.reads == "text")
    config = replace(config, **{name: value for name, value in columns.items() if value is not None})
    dataset = find_dataset(config.name)
    if dataset.kind != model.reads:
        raise UsageError(
            f"--data is {config.name}, which holds {dataset.kind}s, and this is a {model.reads} model"
        )
    reads_images = dataset.kind == "image"
    found = read(config.name, config.root, read_options(config, model.preprocess if reads_images else None))
    notes = list(found.notes)
    parts = _measured_parts(config, found, record, given=data is not None, notes=notes)
    if not reads_images:
        parts = {name: tokenised(part, model.preprocess) for name, part in parts.items()}
        return EvaluationData(config.name, parts, found.labels, found.skipped, notes, unchanged, unchanged)
    match = partial(match_channels, channels=model.preprocess.channels)
    return EvaluationData(
        config.name, parts, found.labels, found.skipped, notes, match, model.preprocess.normalise
    )


def _measured_parts(
    config: DataConfig, found: Found[Any], record: SplitRecord | None, *, given: bool, notes: list[str]
) -> dict[str, Any]:
    """The parts of a dataset as `--split` names them.

    Args:
        config: The data section.
        found: What was read.
        record: Of the model's run; None: it has none.
        given: The data were named with `--data`, and are not what the run was trained on by itself.
        notes: Gets what is left out.
    """
    division = Division(config.val_fraction, config.test_fraction, config.split_seed, config.group)
    if not find_dataset(config.name).is_format:
        return divide(config.name, found, division).as_dict()
    if not given:
        assert record is not None
        parts = by_record(found, record)
        if "new" in parts:
            notes.append(
                f"{len(parts['new']):,} that the run has not seen are left aside: --split new measures them"
            )
        return parts
    parts = {"test": found.parts["all"]} if "all" in found.parts else dict(found.parts)
    if record is None:
        return parts
    new_parts = {
        own: [known if (known := record.part(digest)) in LEARNT else own for digest in examples.digests]
        for own, examples in parts.items()
    }
    learnt = sum(part in LEARNT for own in new_parts if own not in LEARNT for part in new_parts[own])
    if learnt:
        notes.append(
            f"{learnt:,} are in train or val of this run, and not in test here: --split all has them"
        )
    return regrouped(parts, new_parts)


class Measured(NamedTuple):
    """A model's predictions on a split, and their figures.

    Args:
        figures: Plain values, as `vit evaluate --json` prints them.
        result: The predictions.
        examples: What was measured, in the order of `result`.
    """

    figures: dict[str, Any]
    result: Evaluation
    examples: Examples


def evaluate_model(
    model: Any,
    data: EvaluationData,
    split: str,
    *,
    batch_size: int = 256,
    flip: bool = False,
    temperature: float | None = None,
) -> Measured | None:
    """Measure a model on a split; the processes of torchrun share its examples.

    Args:
        model: In eval mode, with `labels`.
        data: From `evaluation_data`.
        split: `train`, `val`, `test` or `all`.
        batch_size: Examples per forward pass.
        flip: Average the probabilities of each image and its mirror image.
        temperature: Compute the calibration error with this temperature, too; None: without one.

    Returns:
        Predictions and figures; None in all processes but the first.

    Raises:
        VitError: No such split, labels that the model does not have, or too few examples.
    """
    parts = chosen_splits(data, split)
    order = _class_order(model.labels, data, parts)
    with distributed_ranks() as ranks:
        _require_enough(parts, ranks.world_size)
        result = evaluate(
            model,
            _batches(data, parts, batch_size, ranks),
            data.normalise,
            len(model.labels),
            class_order=order,
            flip=flip,
            together=ranks.world_size > 1,
            temperature=temperature,
        )
    if ranks.rank > 0:
        return None
    figures = result.figures() | result.details(model.labels)
    figures |= {"split": split, "flip": flip, "skipped": len(data.skipped)}
    if data.notes:
        figures["notes"] = data.notes
    return Measured(figures, result, Examples(*parts))


def _batches(data: EvaluationData, parts: list[Any], batch_size: int, ranks: Ranks) -> Iterator[Batch]:
    """The batches of this process from one part after the other; their indices count through all parts."""
    start = 0
    for part in parts:
        for inputs, targets, indices in loader(part, batch_size, rank=ranks.rank, world=ranks.world_size):
            yield data.prepare(inputs), targets, indices + start
        start += len(part)


def evaluate_maps(
    model: Any, data: EvaluationData, split: str, methods: Sequence[str], *, images: int, steps: int
) -> list[dict[str, Any]]:
    """How faithful the maps of attribution methods are, on images drawn with a fixed seed.

    Args:
        model: An image model in eval mode, with `labels`.
        data: From `evaluation_data`.
        split: As in `evaluate_model`.
        methods: Their names.
        images: How many, at most.
        steps: Number of steps in which the patches of an image are removed.

    Returns:
        `vit.evaluation.faithfulness.Faithfulness.rows`.
    """
    parts = chosen_splits(data, split)
    examples = [(part, index) for part in parts for index in range(len(part))]
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:images]
    device = next(model.parameters()).device

    def batches() -> Iterator[Tensor]:
        for indices in order.split(MAPS_AT_ONCE):
            pixels = [part[[index]][0] for part, index in (examples[i] for i in indices.tolist())]
            yield data.normalise(data.prepare(torch.cat(pixels)).to(device))

    return measure(model, batches(), {method: {} for method in methods}, steps=steps)


def _data_config(word: str, data: str | None, *, texts: bool) -> tuple[DataConfig, SplitRecord | None]:
    """The config of a dataset, and the record of the model's run, if it has one."""
    folder = next((f for f in (Path(word), Path(word).parent) if (f / "config.yaml").is_file()), None)
    record = None if folder is None else read_record(folder)
    recorded: DataConfig | None = None
    if folder is not None:
        recorded = stored_config(folder / "config.yaml").data
    elif is_bundled(word):
        stored = open_bundle(word).training.get("data")
        recorded = DataConfig(**stored) if stored else None
    if data is None:
        if recorded is None or (recorded.root is None and recorded.name not in FOUND_BY_NAME):
            raise UsageError(f"--data is missing: {word} does not say what to measure it on")
        if recorded.name not in FOUND_BY_NAME and record is None:
            raise UsageError(
                f"{word} has no {RECORD_FILE}, so that what it was trained on is not known: --data PATH "
                "measures it on examples that it has not seen"
            )
        return recorded, record
    named = named_data(data, texts=texts)
    if recorded is None or recorded.name != named.name:
        return named, record
    return replace(recorded, root=named.root or recorded.root), record


def chosen_splits(data: EvaluationData, split: str) -> list[Any]:
    """The parts of a dataset that `train`, `val`, `test`, `new` or `all` names.

    Raises:
        VitError: The dataset has no such part.
    """
    chosen = [part for name, part in data.parts.items() if split in (name, "all") and len(part)]
    if not chosen:
        has = ", ".join(name for name, part in data.parts.items() if len(part)) or "no readable example"
        raise VitError(f"{data.name} has no {split} split: it has {has}")
    return chosen


def _class_order(model_labels: list[str], data: EvaluationData, parts: list[Any]) -> Tensor:
    """The model's class for each class of the dataset, by label; -1 for one that the parts do not have."""
    present = torch.zeros(len(data.labels), dtype=torch.bool)
    for part in parts:
        present[part.targets.unique()] = True
    unknown = [
        label
        for label, occurs in zip(data.labels, present.tolist(), strict=True)
        if occurs and label not in model_labels
    ]
    if unknown:
        raise VitError(
            f"the labels do not fit: {data.name} has {len(data.labels)} classes, the model "
            f"{len(model_labels)}, and {unknown[0]!r} is none of the model's ({', '.join(model_labels[:5])}"
            f"{', ...' if len(model_labels) > 5 else ''})"
        )
    return torch.tensor([model_labels.index(label) if label in model_labels else -1 for label in data.labels])


def _require_enough(parts: list[Any], processes: int) -> None:
    """Refuse more processes than examples: a process without one has no figures to add."""
    most = max(map(len, parts))
    if 0 < most < processes:
        raise VitError(f"the split has {most} pictures for {processes} processes: begin fewer of them")
