"""Measure a model on a dataset: accuracy with its 95 % interval, precision and recall of each class, what is
confused, calibration. Every image or text counts once; the processes of torchrun share them.

example:
  vit evaluate runs/digits
  vit evaluate runs/digits --data my_pictures --split all --json
  vit evaluate runs/digits --output digits_test
  vit evaluate runs/digits --attribution --pictures 300
  vit evaluate runs/digits --corruptions --pictures 1000
  vit evaluate runs/digits --unknown other_pictures

--probe learns the classes of the data from the features of the frozen model, with scikit-learn, and measures
that: any model will do, with a head or without one. Data without parts are divided; --per-class K learns from
K examples of each class, drawn 5 times, and tests all others.

    vit evaluate cifar10 --data my_pictures --probe linear --per-class 20

--output writes evaluation.json, confusion.csv, classes.csv, mistakes.csv (every wrong prediction, the most
confident first), plots and report.html into a folder.

--corruptions measures the accuracy under 15 corruptions at 5 severities (Hendrycks and Dietterich 2019),
made on the fly. --unknown says how well the score tells the data from pictures of another folder, which
belong to no class, and gives the threshold of vit predict --unknown that keeps 95 % of the validation data.

--attribution also measures how faithful the maps of vit attend are. Patches are removed in a map's order,
the most relevant first (MoRF) and the least relevant first (LeRF), and the figure is the area under the
predicted class's probability: deletion is MoRF, insertion LeRF, and a good map has a large LeRF - MoRF. A
random map and one of the distance to the image's centre are controls. "shuffled" is the mean absolute
rank correlation with the maps of a model whose weights are shuffled: near 1, a map ignores the model; by
chance it is about 0.8 over the root of the number of patches, 0.1 for 64.

A language model is measured on texts, whose labels do not matter: perplexity is exp of the mean negative
log-likelihood of a token, and perplexity_word exp of the sum over all tokens, divided by the words between
white space and the ends of the texts, which compares models with other tokenizers.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.attribution.roster import METHODS, QUICK_METHODS
from vit.config import MODEL_HELP, nearest
from vit.data.roster import FOUND_BY_NAME
from vit.data.roster import SPLITS as DATA_SPLITS
from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.recipes.evaluation.data import EvaluationData

SPLITS = (*DATA_SPLITS, "new", "all")  # new: what the run has not seen
ATTRIBUTION_OPTIONS = ("methods", "pictures", "steps")
FOR_IMAGES = ("flip", "attribution", "corruptions")
FOR_ONE_LABEL = ("corruptions", "unknown")
FOR_ONE_PROCESS = ("attribution", "corruptions", "unknown")
FOR_CLASSES = ("flip", "attribution", "corruptions", "unknown", "image_size", "label_column")


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, data, split."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(FOUND_BY_NAME)}, class folders, or parquet (default: what it was trained on)",
    )
    parser.add_argument("--split", default="test", help=f"one of {', '.join(SPLITS)} (default: test)")
    parser.add_argument("--column", help="of a table, with the texts or the paths (default: a usual name)")
    parser.add_argument("--label-column", help="of a table, with the labels (default: a usual name)")
    parser.add_argument("--flip", action="store_true", help="average each image with its mirror image")
    parser.add_argument("--corruptions", action="store_true", help="measure corrupted pictures, too")
    parser.add_argument("--unknown", metavar="FOLDER", help="inputs that belong to no class, to tell apart")
    parser.add_argument("--probe", metavar="KIND", help="linear or knn: learn the classes of the data")
    parser.add_argument("--per-class", type=int, help="of --probe: examples of each class to learn from")
    parser.add_argument("--repeats", type=int, help="of --per-class: how often they are drawn (default: 5)")
    parser.add_argument("--image-size", type=int, help="pixels of one side (default: the model's own)")
    parser.add_argument("--attribution", action="store_true", help="measure the methods of vit attend, too")
    parser.add_argument("--methods", help=f"separated by commas (default: {','.join(QUICK_METHODS)})")
    parser.add_argument(
        "--pictures",
        type=int,
        help="drawn at random for --attribution (default: 200) and --corruptions (default: 500)",
    )
    parser.add_argument("--steps", type=int, help="parts in which patches go (default: 16)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--output", metavar="DIR", help="folder for report, tables and plots")
    parser.add_argument("--overwrite", action="store_true", help="write into a DIR that is not empty")
    parser.add_argument("--batch-size", type=int, default=256, help="images per forward pass (default: 256)")


def run(arguments: "Namespace") -> int:
    """Print the figures."""
    methods, images, steps = _check(arguments)
    from vit.device import memory_advice

    with memory_advice(arguments.batch_size):
        return _measure(arguments, methods, images, steps)


def _measure(arguments: "Namespace", methods: list[str], images: int, steps: int) -> int:
    """Measure, print and write; returns the exit code."""
    from vit.commands.common import require_labels
    from vit.commands.probe import run_probe
    from vit.device import best_device
    from vit.evaluation.results import check_folder, write_evaluation
    from vit.recipes.evaluation.data import evaluation_data
    from vit.recipes.evaluation.model import evaluate_maps, evaluate_model
    from vit.text.matching import predicts_next
    from vit.weights.models import load_model

    if arguments.output is not None:
        check_folder(Path(arguments.output), overwrite=arguments.overwrite)
    model = load_model(arguments.model).to(best_device())
    if arguments.probe is None and predicts_next(model):
        return _run_language(model, arguments)
    if arguments.image_size is not None:
        model.preprocess = _other_size(model, arguments.image_size)
    if arguments.probe is None:
        require_labels(model, arguments.model)
    if model.reads == "text" and (given := [name for name in FOR_IMAGES if arguments[name]]):
        raise UsageError(f"--{given[0]} applies to image models only: leave it out")
    if model.thresholds and (given := [name for name in FOR_ONE_LABEL if arguments[name]]):
        raise UsageError(f"--{given[0]} applies to models of one label only: leave it out")
    data = evaluation_data(
        model,
        arguments.model,
        arguments.data,
        input_column=arguments.column,
        label_column=arguments.label_column,
    )
    if arguments.probe is not None:
        return run_probe(model, data, arguments)
    measured = evaluate_model(
        model,
        data,
        arguments.split,
        batch_size=arguments.batch_size,
        flip=arguments.flip,
        temperature=None if arguments.flip else _temperature(arguments.model),
    )
    if measured is None:  # the first process prints
        return 0
    figures = measured.figures | {"data": arguments.data or data.name, "model": arguments.model}
    if methods:
        figures["attribution"] = evaluate_maps(
            model, data, arguments.split, methods, images=images, steps=steps
        )
    if arguments.corruptions:
        from vit.recipes.evaluation.robustness import IMAGES, evaluate_corruptions

        figures["corruptions"] = evaluate_corruptions(
            model, data, arguments.split, images=arguments.pictures or IMAGES
        )
    if arguments.unknown:
        figures["unknown"] = _unknown(model, data, arguments)
    if arguments.output is not None:
        write_evaluation(
            Path(arguments.output),
            labels=model.labels,
            examples=measured.examples,
            result=measured.result,
            figures=figures,
        )
    if arguments.json:
        print(json.dumps(figures))
    else:
        _print(figures, data, arguments.output)
    return 3 if data.skipped or figures.get("unknown", {}).get("skipped") else 0


def _run_language(model: Any, arguments: "Namespace") -> int:
    """Print the figures of a language model."""
    from vit.commands.figures import print_asides, print_language
    from vit.evaluation.results import write_evaluation
    from vit.recipes.evaluation.data import evaluation_data
    from vit.recipes.evaluation.language import evaluate_texts

    if given := [name for name in FOR_CLASSES if arguments[name]]:
        option = given[0].replace("_", "-")
        raise UsageError(f"--{option} applies to models with classes, not to a language model: leave it out")
    data = evaluation_data(
        model, arguments.model, arguments.data, labelled=False, input_column=arguments.column
    )
    measured = evaluate_texts(model, data, arguments.split, batch_size=arguments.batch_size)
    if measured is None:  # the first process prints
        return 0
    figures = measured.figures | {"data": arguments.data or data.name, "model": arguments.model}
    if arguments.output is not None:
        write_evaluation(
            Path(arguments.output),
            labels=[],
            examples=measured.examples,
            result=measured.result,
            figures=figures,
        )
    if arguments.json:
        print(json.dumps(figures))
    else:
        print_language(figures)
        print_asides(data)
        if arguments.output is not None:
            print(f"report {Path(arguments.output) / 'report.html'}")
    return 3 if data.skipped else 0


def _other_size(model: Any, side: int) -> Any:
    """The preprocessing of an image model for another size; its positions are interpolated."""
    from dataclasses import replace

    if model.reads != "image":
        raise UsageError("--image-size applies to image models only: leave it out")
    if side < 1 or any(side % patch for patch in model.patch_size):
        patches = " x ".join(map(str, model.patch_size))
        raise UsageError(f"--image-size is {side}, expected a multiple of the patches, {patches} pixels")
    return replace(model.preprocess, height=side, width=side)


def _unknown(model: Any, data: "EvaluationData", arguments: "Namespace") -> dict[str, Any]:
    """The figures of `--unknown`; a run that was measured on its own data gets the threshold."""
    from vit.recipes.evaluation.robustness import evaluate_unknown, record_threshold

    figures = evaluate_unknown(model, data, arguments.split, [arguments.unknown])
    if arguments.data is None and figures["threshold"]:
        recorded = record_threshold(arguments.model, figures["threshold"])
        figures["recorded"] = None if recorded is None else str(recorded)
    return figures


def _print(figures: dict[str, Any], data: "EvaluationData", output: str | None) -> None:
    from rich.console import Console

    from vit.commands.common import faithfulness_table
    from vit.commands.figures import print_asides, print_corruptions, print_figures, print_unknown

    console = Console(highlight=False, markup=False, soft_wrap=True)
    print_figures(console, figures)
    if "corruptions" in figures:
        print_corruptions(console, figures["corruptions"])
    if "unknown" in figures:
        print_unknown(console, figures["unknown"])
    if "attribution" in figures:
        rows = figures["attribution"]
        print(f"faithfulness of maps for the predicted class, {figures['split']}, n = {rows[0]['n']}:")
        print(faithfulness_table(rows))
    print_asides(data)
    if output is not None:
        print(f"report {Path(output) / 'report.html'}")


def _temperature(word: str) -> float | None:
    """The temperature that suited the validation split of a model's run; None where none is recorded."""
    from vit.weights.models import is_bundled, open_bundle

    return open_bundle(word).scores.get("val", {}).get("temperature") if is_bundled(word) else None


def _check(arguments: "Namespace") -> tuple[list[str], int, int]:
    """Methods, images and steps of `--attribution`; refuse what cannot be before anything is imported.

    Raises:
        UsageError: Arguments that do not fit each other, or out of range.
    """
    from vit.commands.common import require_positive
    from vit.commands.probe import check_probe

    if arguments.split not in SPLITS:
        raise UsageError(f"--split is {arguments.split}{nearest(arguments.split, list(SPLITS))}")
    require_positive("--batch-size", arguments.batch_size)
    check_probe(arguments)
    if arguments.overwrite and arguments.output is None:
        raise UsageError("--overwrite is an option of --output, which is missing")
    given: dict[str, Any] = {
        name: arguments[name] for name in ATTRIBUTION_OPTIONS if arguments[name] is not None
    }
    if given.keys() == {"pictures"} and arguments.corruptions:
        require_positive("--pictures", given["pictures"])
    elif given and not arguments.attribution:
        raise UsageError(f"--{next(iter(given))} is an option of --attribution, which is missing")
    images, steps = given.get("pictures", 200), given.get("steps", 16)
    require_positive("--pictures", images)
    require_positive("--steps", steps)
    processes = os.environ.get("WORLD_SIZE", "1")
    alone = next((name for name in FOR_ONE_PROCESS if arguments[name]), None)
    if alone and "TORCHELASTIC_RUN_ID" in os.environ and processes != "1":  # under torchrun
        raise UsageError(f"--{alone} is measured by one process, and here are {processes}")
    if not arguments.attribution:
        return [], images, steps
    names = arguments.methods
    methods = list(QUICK_METHODS) if names is None else [name.strip() for name in names.split(",")]
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"--methods has {method!r}, expected some of: {', '.join(METHODS)}")
    return methods, images, steps
