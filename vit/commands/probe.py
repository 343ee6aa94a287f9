"""`vit evaluate --probe`: what the features of a frozen model tell, by a simple classifier."""

import json
from typing import TYPE_CHECKING, Any

from vit.config import nearest
from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from vit.recipes.evaluation.data import EvaluationData

KINDS = ("linear", "knn")
REPEATS = 5  # draws of --per-class
FOR_HEADS = ("flip", "attribution", "corruptions", "unknown", "output")  # they need the model's own head


def check_probe(arguments: "Namespace") -> None:
    """Refuse options that do not fit each other.

    Raises:
        UsageError: Which ones.
    """
    from vit.commands.common import require_positive

    kind, per_class, repeats = arguments.probe, arguments.per_class, arguments.repeats
    if kind is None:
        for name, value in (("per-class", per_class), ("repeats", repeats)):
            if value is not None:
                raise UsageError(f"--{name} is an option of --probe, which is missing")
        return
    if kind not in KINDS:
        raise UsageError(f"--probe is {kind!r}{nearest(kind, list(KINDS))}")
    if given := [name for name in FOR_HEADS if arguments[name]]:
        raise UsageError(f"--{given[0]} measures a model's head, and --probe its features: leave one out")
    if arguments.split != "test":
        raise UsageError(f"--split is {arguments.split}, and --probe tests the part test: leave it out")
    if repeats is not None and per_class is None:
        raise UsageError("--repeats is an option of --per-class, which is missing")
    for name, value in (("--per-class", per_class), ("--repeats", repeats)):
        if value is not None:
            require_positive(name, value)


def run_probe(model: Any, data: "EvaluationData", arguments: "Namespace") -> int:
    """Fit, measure and print."""
    from vit.commands.figures import print_asides
    from vit.recipes.evaluation.probe import probe_model

    repeats = 1 if arguments.per_class is None else arguments.repeats or REPEATS
    figures = probe_model(
        model,
        data,
        arguments.probe,
        per_class=arguments.per_class,
        repeats=repeats,
        batch_size=arguments.batch_size,
    )
    figures |= {"data": arguments.data or data.name, "model": arguments.model}
    if data.notes:
        figures["notes"] = data.notes
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(_headline(figures))
        print_asides(data)
    return 3 if data.skipped else 0


def _headline(figures: dict[str, Any]) -> str:
    """The figures in words."""
    probe = figures["probe"]
    learnt = (
        f"{probe['n_train']:,} examples" if probe["per_class"] is None else f"{probe['per_class']} per class"
    )
    line = (
        f"{figures['data']}, {probe['kind']} probe of {figures['model']}, learnt from {learnt}, tested on "
        f"{figures['split']}, n = {figures['n']:,}: accuracy {_percent(figures['accuracy'])}"
    )
    if probe["repeats"] > 1:
        accuracies = probe["accuracies"]
        spread = (
            f"{100 * probe['accuracy_std']:.2f}, {100 * min(accuracies):.2f} to {_percent(max(accuracies))}"
        )
        line += f" (mean of {probe['repeats']} draws, deviation {spread})"
    else:
        low, high = figures["interval"]
        line += f", 95 % interval {100 * low:.2f} to {_percent(high)}"
    return (
        f"{line}; balanced accuracy {_percent(figures['balanced_accuracy'])}; always the most frequent class "
        f"{_percent(figures['majority'])}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
