"""Describe a model: architecture, labels, preprocessing, and its scores.

example:
  vit info runs/digits
"""

import json
from typing import TYPE_CHECKING, Any

from vit.config import MODEL_HELP

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """The model, and `--json`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: "Namespace") -> int:
    """Print the description."""
    from vit.weights.models import describe

    facts: dict[str, Any] = {"model": arguments.model} | describe(arguments.model)
    if arguments.json:
        print(json.dumps(facts))
        return 0

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    training = facts.get("training", {})
    if "init" in training:  # a row of its own: whose weights the training began with
        training = dict(training)
        facts |= {"init": training.pop("init"), "training": training}
    for name, value in facts.items():
        table.add_row(name, _text(value))
    Console(highlight=False, markup=False).print(table)
    return 0


def _text(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        texts = [_text(part) for part in value]
        return ", ".join(texts[:20]) + (f", ... ({len(texts)} in all)" if len(texts) > 20 else "")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
