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
from vit.data.datasets import Splits
from vit.data.loader import loader
from vit.data.preprocess import match_channels
from vit.data.roster import FOUND_BY_NAME, find_dataset
from vit.errors import UsageError, VitError
from vit.evaluation.faithfulness import measure
from vit.evaluation.metrics import evaluate
from vit.jobs.ranks import distributed_ranks
from vit.recipes.data import load_data, named_data, tokenised, unchanged
from vit.weights.models import is_bundled, open_bundle

MAPS_AT_ONCE = 32  # images whose maps are computed together


class EvaluationData(NamedTuple):
    """A dataset as a model reads it.

    Args:
        name: Of the dataset.
        splits: The dataset.
        prepare: From a batch of the splits to the model's channels, on the CPU.
        normalise: From a prepared batch to the model's input, on its device.
    """

    name: str
    splits: Splits[Any]
    prepare: Callable[[Tensor], Tensor]
    normalise: Callable[[Tensor], Tensor]


def evaluation_data(model: Any, word: str, data: str | None) -> EvaluationData:
    """The dataset to measure a model on.

    Args:
        model: With `preprocess`.
        word: The MODEL word that it was loaded from.
        data: A dataset's name or path; None: what the model was trained on, split as its run split it, so
            that test examples were never seen.

    Raises:
        VitError: There is no such dataset, or it holds examples of another kind than the model reads.
    """
    config = _data_config(word, data, texts=model.reads == "text")
    kind = find_dataset(config.name).kind
    if kind != model.reads:
        raise UsageError(f"--data is {config.name}, which holds {kind}s, and this is a {model.reads} model")
    if kind == "text":
        splits = tokenised(load_data(config), model.preprocess)
        return EvaluationData(config.name, splits, unchanged, unchanged)
    preprocess = model.preprocess
    config.image_size = (preprocess.height, preprocess.width)
    match = partial(match_channels, channels=preprocess.channels)
    return EvaluationData(config.name, load_data(config), match, preprocess.normalise)


def evaluate_model(
    model: Any, data: EvaluationData, split: str, *, batch_size: int = 256, flip: bool = False
) -> dict[str, Any] | None:
    """The figures of a model on a split; the processes of torchrun share its examples.

    Args:
        model: In eval mode, with `labels`.
        data: From `evaluation_data`.
        split: `train`, `val`, `test` or `all`.
        batch_size: Examples per forward pass.
        flip: Average the probabilities of each image and its mirror image.

    Returns:
        Plain values; None in all processes but the first.

    Raises:
        VitError: No such split, labels that the model does not have, or too few examples.
    """
    splits = data.splits
    order = _class_order(model.labels, splits.labels, splits.name)
    parts = chosen_splits(splits, split)
    with distributed_ranks() as ranks:
        _require_enough(parts, ranks.world_size)
        batches = (loader(part, batch_size, rank=ranks.rank, world=ranks.world_size) for part in parts)
        result = evaluate(
            model,
            ((data.prepare(inputs), *rest) for part in batches for inputs, *rest in part),
            data.normalise,
            len(model.labels),
            class_order=order,
            flip=flip,
            together=ranks.world_size > 1,
        )
    if ranks.rank > 0:
        return None
    return result.figures() | {
        "split": split,
        "flip": flip,
        "by_class": result.by_class(model.labels),
        "skipped": len(splits.skipped),
    }


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
    parts = chosen_splits(data.splits, split)
    examples = [(part, index) for part in parts for index in range(len(part))]
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:images]
    device = next(model.parameters()).device

    def batches() -> Iterator[Tensor]:
        for indices in order.split(MAPS_AT_ONCE):
            pixels = [part[[index]][0] for part, index in (examples[i] for i in indices.tolist())]
            yield data.normalise(data.prepare(torch.cat(pixels)).to(device))

    return measure(model, batches(), {method: {} for method in methods}, steps=steps)


def _data_config(word: str, data: str | None, *, texts: bool) -> DataConfig:
    """The config of a dataset; of the kind that the model was trained on, with the splits of its run."""
    run = Path(word) / "config.yaml"
    recorded: DataConfig | None = None
    if run.is_file():
        recorded = stored_config(run).data
    elif is_bundled(word):
        stored = open_bundle(word).training.get("data")
        recorded = DataConfig(**stored) if stored else None
    if data is None:
        if recorded is None or (recorded.root is None and recorded.name not in FOUND_BY_NAME):
            raise UsageError(f"--data is missing: {word} does not say what to measure it on")
        return recorded
    named = named_data(data, texts=texts)
    if recorded is None or recorded.name != named.name:
        return named
    return replace(recorded, root=named.root or recorded.root)


def chosen_splits(splits: Splits[Any], split: str) -> list[Any]:
    """The parts of a dataset that `train`, `val`, `test` or `all` names.

    Raises:
        VitError: The dataset has no such split.
    """
    chosen = [part for name, part in splits.as_dict().items() if split in (name, "all")]
    if not chosen:
        raise VitError(f"{splits.name} has no {split} split: --split val, train or all")
    return chosen


def _class_order(model_labels: list[str], data_labels: list[str], name: str) -> Tensor:
    """The model's class for each class of the dataset, by label."""
    unknown = [label for label in data_labels if label not in model_labels]
    if unknown:
        raise VitError(
            f"the labels do not fit: {name} has {len(data_labels)} classes, the model {len(model_labels)}, "
            f"and {unknown[0]!r} is none of the model's ({', '.join(model_labels[:5])}"
            f"{', ...' if len(model_labels) > 5 else ''})"
        )
    return torch.tensor([model_labels.index(label) for label in data_labels])


def _require_enough(parts: list[Any], processes: int) -> None:
    """Refuse more processes than examples: a process without one has no figures to add."""
    most = max(map(len, parts))
    if 0 < most < processes:
        raise VitError(f"the split has {most} pictures for {processes} processes: begin fewer of them")
