"""Measure a model on a dataset: accuracy, top-5, loss, calibration. Every image or text counts once; the
processes of torchrun share them.

example:
  vit evaluate runs/digits
  vit evaluate runs/digits --data my_pictures --split all --json
  vit evaluate runs/digits --attribution --pictures 300

--attribution also measures how faithful the maps of vit attend are. Patches are removed in a map's order,
the most relevant first (MoRF) and the least relevant first (LeRF), and the figure is the area under the
predicted class's probability: deletion is MoRF, insertion LeRF, and a good map has a large LeRF - MoRF. A
random map and one of the distance to the image's centre are controls. "shuffled" is the mean absolute
rank correlation with the maps of a model whose weights are shuffled: near 1, a map ignores the model; by
chance it is about 0.8 over the root of the number of patches, 0.1 for 64.
"""

import json
import os
from typing import TYPE_CHECKING, Any

from vit.attribution.roster import METHODS, QUICK_METHODS
from vit.config import MODEL_HELP, nearest
from vit.data.roster import FOUND_BY_NAME
from vit.data.roster import SPLITS as DATA_SPLITS
from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

SPLITS = (*DATA_SPLITS, "all")
ATTRIBUTION_OPTIONS = ("methods", "pictures", "steps")


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, data, split."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(FOUND_BY_NAME)}, class folders, or parquet (default: what it was trained on)",
    )
    parser.add_argument("--split", default="test", help=f"one of {', '.join(SPLITS)} (default: test)")
    parser.add_argument("--flip", action="store_true", help="average each image with its mirror image")
    parser.add_argument("--attribution", action="store_true", help="measure the methods of vit attend, too")
    parser.add_argument("--methods", help=f"separated by commas (default: {','.join(QUICK_METHODS)})")
    parser.add_argument("--pictures", type=int, help="drawn for them at random (default: 200)")
    parser.add_argument("--steps", type=int, help="parts in which patches go (default: 16)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--batch-size", type=int, default=256, help="images per forward pass (default: 256)")


def run(arguments: "Namespace") -> int:
    """Print the figures."""
    methods, images, steps = _check(arguments)

    from vit.commands.common import faithfulness_table, require_labels
    from vit.device import best_device
    from vit.recipes.evaluate import evaluate_maps, evaluate_model, evaluation_data
    from vit.weights.models import load_model

    model = require_labels(load_model(arguments.model).to(best_device()), arguments.model)
    if model.reads == "text" and (arguments.flip or arguments.attribution):
        raise UsageError("--flip and --attribution apply to image models only: leave them out")
    data = evaluation_data(model, arguments.model, arguments.data)
    figures = evaluate_model(
        model, data, arguments.split, batch_size=arguments.batch_size, flip=arguments.flip
    )
    if figures is None:  # the first process prints
        return 0
    figures |= {"data": arguments.data or data.name, "model": arguments.model}
    if methods:
        figures["attribution"] = evaluate_maps(
            model, data, arguments.split, methods, images=images, steps=steps
        )
    skipped = data.splits.skipped
    if arguments.json:
        print(json.dumps(figures))
        return 3 if skipped else 0
    print(
        f"{figures['data']}, {arguments.split}{', with mirror images' if arguments.flip else ''}, "
        f"n = {figures['n']}: accuracy {100 * figures['accuracy']:.2f} %, "
        f"top-5 {100 * figures['accuracy_top5']:.2f} %, loss {figures['loss']:.4f}, "
        f"calibration error {figures['calibration_error']:.4f}"
    )
    if methods:
        rows = figures["attribution"]
        print(f"faithfulness of maps for the predicted class, {arguments.split}, n = {rows[0]['n']}:")
        print(faithfulness_table(rows))
    if skipped:
        print(f"{len(skipped)} files skipped, the first is {': '.join(skipped[0])}")
        return 3
    return 0


def _check(arguments: "Namespace") -> tuple[list[str], int, int]:
    """Methods, images and steps of `--attribution`; refuse what cannot be before anything is imported.

    Raises:
        UsageError: Arguments that do not fit each other, or out of range.
    """
    from vit.commands.common import require_positive

    if arguments.split not in SPLITS:
        raise UsageError(f"--split is {arguments.split}{nearest(arguments.split, list(SPLITS))}")
    require_positive("--batch-size", arguments.batch_size)
    given: dict[str, Any] = {
        name: arguments[name] for name in ATTRIBUTION_OPTIONS if arguments[name] is not None
    }
    if given and not arguments.attribution:
        raise UsageError(f"--{next(iter(given))} is an option of --attribution, which is missing")
    images, steps = given.get("pictures", 200), given.get("steps", 16)
    require_positive("--pictures", images)
    require_positive("--steps", steps)
    if not arguments.attribution:
        return [], images, steps
    processes = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and processes != "1":  # under torchrun
        raise UsageError(f"--attribution is measured by one process, and here are {processes}")
    names = arguments.methods
    methods = list(QUICK_METHODS) if names is None else [name.strip() for name in names.split(",")]
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"--methods has {method!r}, expected some of: {', '.join(METHODS)}")
    return methods, images, steps
