"""Measure a model on a dataset: accuracy, top-5, loss, calibration. Every picture or text counts once; the
processes of torchrun share them.

example:
  vit evaluate runs/digits
  vit evaluate runs/digits --data my_pictures --split all --json
  vit evaluate runs/digits --attribution --pictures 300

--attribution also measures how faithful the maps of vit attend are. Patches are taken away in a map's order,
the most relevant first (MoRF) and the least relevant first (LeRF), and the figure is the area under the
predicted class's probability: deletion is MoRF, insertion LeRF, and a good map has a large LeRF - MoRF. A
random map and one that knows only the picture's centre stand beside them. "shuffled" is the mean absolute
rank correlation with the maps of a model whose weights are shuffled: near 1, a map ignores the model; by
chance it is about 0.8 over the root of the number of patches, 0.1 for 64.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.config import DATASETS, MODEL_HELP, QUICK_METHODS, TEXTS, DataConfig, nearest, stored_config
from vit.errors import UsageError, VitError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from torch import Tensor

    from vit.data.datasets import Splits
    from vit.data.images import Images
    from vit.towers import Tower
    from vit.vision import VisionTransformer

SPLITS = ("train", "val", "test", "all")
OF_ATTRIBUTION = ("methods", "pictures", "steps")
BATCH = 32  # pictures whose maps are made at once


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, data, split."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(DATASETS)}, class folders, or parquet (default: what it was trained on)",
    )
    parser.add_argument("--split", default="test", help=f"one of {', '.join(SPLITS)} (default: test)")
    parser.add_argument("--flip", action="store_true", help="average each picture with its mirror image")
    parser.add_argument("--attribution", action="store_true", help="measure the methods of vit attend, too")
    parser.add_argument("--methods", help=f"separated by commas (default: {','.join(QUICK_METHODS)})")
    parser.add_argument("--pictures", type=int, help="drawn for them at random (default: 200)")
    parser.add_argument("--steps", type=int, help="parts in which patches go (default: 16)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument(
        "--batch-size", type=int, default=256, help="pictures per forward pass (default: 256)"
    )


def run(arguments: "Namespace") -> int:
    """Print the figures."""
    if arguments.split not in SPLITS:
        raise UsageError(f"--split is {arguments.split}{nearest(arguments.split, list(SPLITS))}")

    from vit.commands.common import faithfulness_table, require_labels, require_positive
    from vit.data.loader import loader
    from vit.device import best_device
    from vit.evaluation.metrics import evaluate
    from vit.jobs.ranks import distributed_ranks
    from vit.text import TextTransformer
    from vit.weights.models import load_model

    require_positive("--batch-size", arguments.batch_size)
    asked = {name: arguments[name] for name in OF_ATTRIBUTION if arguments[name] is not None}
    if asked and not arguments.attribution:
        raise UsageError(f"--{next(iter(asked))} is of --attribution, which is missing")
    pictures, steps = asked.get("pictures", 200), asked.get("steps", 16)
    require_positive("--pictures", pictures)
    require_positive("--steps", steps)
    methods = _methods(arguments.methods) if arguments.attribution else []
    model = require_labels(load_model(arguments.model).to(best_device()), arguments.model)
    config = _data_config(arguments.model, arguments.data, isinstance(model, TextTransformer))
    splits, prepare, normalise = _read(model, config)
    if isinstance(model, TextTransformer) and (arguments.flip or arguments.attribution):
        raise UsageError("--flip and --attribution are of pictures: leave them out")
    order = _class_order(model.labels, splits.labels, splits.name)
    chosen = _chosen(splits, arguments.split)
    with distributed_ranks() as world:
        _require_enough(chosen, world.size)
        if methods and world.size > 1:
            raise UsageError(f"--attribution is measured by one process, and here are {world.size}")
        parts = (loader(part, arguments.batch_size, rank=world.rank, world=world.size) for part in chosen)
        result = evaluate(
            model,
            ((prepare(inputs), *rest) for batches in parts for inputs, *rest in batches),
            normalise,
            len(model.labels),
            class_order=order,
            flip=arguments.flip,
            together=world.size > 1,
        )
    if world.rank > 0:  # the first one tells
        return 0
    figures: dict[str, Any] = result.figures() | {
        "split": arguments.split,
        "data": arguments.data or config.name,
        "model": arguments.model,
        "flip": arguments.flip,
        "by_class": result.by_class(model.labels),
        "skipped": len(splits.skipped),
    }
    if methods:
        figures["attribution"] = _attribution(model, chosen, methods, pictures, steps)
    if arguments.json:
        print(json.dumps(figures))
        return 3 if splits.skipped else 0
    print(
        f"{figures['data']}, {arguments.split}{', with mirror images' if arguments.flip else ''}, "
        f"n = {result.n}: accuracy {100 * result.accuracy:.2f} %, "
        f"top-5 {100 * result.accuracy_top5:.2f} %, loss {result.loss:.4f}, "
        f"calibration error {result.calibration_error:.4f}"
    )
    if methods:
        rows = figures["attribution"]
        print(f"faithfulness of maps for the predicted class, {arguments.split}, n = {rows[0]['n']}:")
        print(faithfulness_table(rows))
    if splits.skipped:
        print(f"{len(splits.skipped)} files skipped, the first is {': '.join(splits.skipped[0])}")
        return 3
    return 0


def _read(
    model: "Tower", config: DataConfig
) -> "tuple[Splits[Any], Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]":
    """The data as the model reads them, and what happens to a batch before and on the device."""
    from vit.data.preprocess import match_channels
    from vit.recipes.data import load_data, read_sentences, tokenised, unchanged
    from vit.text import TextTransformer

    if isinstance(model, TextTransformer):
        if config.name not in TEXTS:
            raise UsageError(f"--data is {config.name}, which holds pictures, and this model reads texts")
        return tokenised(read_sentences(config), model.preprocess), unchanged, unchanged
    if config.name in TEXTS:
        raise UsageError(f"--data is {config.name}, which holds texts, and this model reads pictures")
    preprocess = model.preprocess
    config.image_size = (preprocess.height, preprocess.width)
    match = partial(match_channels, channels=preprocess.channels)
    return load_data(config), match, preprocess.normalise


def _methods(words: str | None) -> list[str]:
    """The methods asked for."""
    from vit.attribution.explain import METHODS

    methods = list(QUICK_METHODS) if words is None else [word.strip() for word in words.split(",")]
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"--methods has {method!r}, expected some of: {', '.join(METHODS)}")
    return methods


def _attribution(
    model: "VisionTransformer", chosen: "list[Images]", methods: list[str], pictures: int, steps: int
) -> list[dict[str, Any]]:
    """The figures of faithfulness, on pictures drawn by a fixed seed."""
    import torch

    from vit.data.preprocess import match_channels
    from vit.evaluation.faithfulness import measure

    places = [(images, index) for images in chosen for index in range(len(images))]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:pictures]
    device = next(model.parameters()).device

    def batches() -> "Iterator[Tensor]":
        for part in order.split(BATCH):
            drawn = [images[[index]][0] for images, index in (places[place] for place in part.tolist())]
            yield model.preprocess.normalise(match_channels(torch.cat(drawn), model.channels).to(device))

    return measure(model, batches(), {method: {} for method in methods}, steps=steps)


def _data_config(model: str, word: str | None, texts: bool) -> DataConfig:
    """What to measure on, split as the model's run split it: its test pictures are those it never saw."""
    from vit.recipes.data import named_data
    from vit.weights.models import is_bundled, open_bundle

    run = Path(model) / "config.yaml"
    recorded: DataConfig | None = None
    if run.is_file():
        recorded = stored_config(run).data
    elif is_bundled(model):
        of_bundle = open_bundle(model).training.get("data")
        recorded = DataConfig(**of_bundle) if of_bundle else None
    if word is None:
        if recorded is None or (recorded.root is None and recorded.name not in DATASETS):
            raise UsageError(f"--data is missing: {model} does not say what to measure it on")
        return recorded
    named = named_data(word, texts=texts)
    if recorded is None or recorded.name != named.name:
        return named
    return replace(recorded, root=named.root or recorded.root)


def _class_order(model_labels: list[str], data_labels: list[str], name: str) -> Any:
    """The model's class for each class of the dataset, by name."""
    import torch

    strange = [label for label in data_labels if label not in model_labels]
    if strange:
        raise VitError(
            f"the labels do not fit: {name} has {len(data_labels)} classes, the model {len(model_labels)}, "
            f"and {strange[0]!r} is none of the model's ({', '.join(model_labels[:5])}"
            f"{', ...' if len(model_labels) > 5 else ''})"
        )
    return torch.tensor([model_labels.index(label) for label in data_labels])


def _require_enough(parts: list[Any], processes: int) -> None:
    """Refuse a process without a single picture: it would have nothing to add."""
    most = max(map(len, parts))
    if 0 < most < processes:
        raise VitError(f"the split has {most} pictures for {processes} processes: begin fewer of them")


def _chosen(splits: "Splits[Any]", split: str) -> list[Any]:
    parts: dict[str, Any] = {"train": splits.train, "val": splits.val, "test": splits.test}
    chosen = [part for name, part in parts.items() if split in (name, "all") and part is not None]
    if not chosen:
        raise VitError(f"{splits.name} has no {split} split: --split val, train or all")
    return chosen
