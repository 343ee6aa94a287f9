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
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from vit.attribution.roster import QUICK_METHODS
from vit.config import MODEL_HELP
from vit.data.roster import FOUND_BY_NAME
from vit.recipes.evaluation.options import SPLITS, EvaluationOptions

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.recipes.evaluation.measure import Outcome


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
    options = EvaluationOptions(**{field.name: arguments[field.name] for field in fields(EvaluationOptions)})
    options.check()
    from vit.device import best_device
    from vit.recipes.evaluation.measure import measure
    from vit.weights.models import load_model

    outcome = measure(load_model(arguments.model).to(best_device()), arguments.model, options)
    if outcome is None:  # the first process prints
        return 0
    if arguments.json:
        print(json.dumps(outcome.figures))
    else:
        _print(outcome, arguments.output)
    return 3 if outcome.data.skipped or outcome.figures.get("unknown", {}).get("skipped") else 0


def _print(outcome: "Outcome", output: str | None) -> None:
    from rich.console import Console

    from vit.commands.common import faithfulness_table
    from vit.commands.figures import (
        print_asides,
        print_corruptions,
        print_figures,
        print_language,
        print_probe,
        print_unknown,
    )

    figures = outcome.figures
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if "perplexity" in figures:
        print_language(figures)
    elif "probe" in figures:
        print_probe(figures)
    else:
        print_figures(console, figures)
    if "corruptions" in figures:
        print_corruptions(console, figures["corruptions"])
    if "unknown" in figures:
        print_unknown(console, figures["unknown"])
    if "attribution" in figures:
        rows = figures["attribution"]
        print(f"faithfulness of maps for the predicted class, {figures['split']}, n = {rows[0]['n']}:")
        print(faithfulness_table(rows))
    print_asides(outcome.data)
    if output is not None:
        print(f"report {Path(output) / 'report.html'}")
