"""Say what a dataset holds: classes, pictures or texts per split, their size, and what cannot be read.

example:
  vit data digits
  vit data my_pictures
  vit data reviews.tsv
"""

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.data.images import Images
    from vit.data.texts import Sentences


def add_arguments(parser: "ArgumentParser") -> None:
    """Path."""
    parser.add_argument("path", metavar="PATH", help="a folder of class folders, parquet, texts, or a name")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: "Namespace") -> int:
    """Print a table; 3 where some files were bad."""
    import json

    from rich.console import Console
    from rich.table import Table

    from vit.config import TEXTS
    from vit.recipes.data import load_data, named_data, read_sentences

    config = named_data(arguments.path)
    splits: Any = read_sentences(config) if config.name in TEXTS else load_data(config)
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    counts = {
        name: part.targets.bincount(minlength=len(splits.labels)).tolist()
        for name, part in parts.items()
        if part is not None
    }
    facts, size = _size(splits.train)
    if arguments.json:
        print(
            json.dumps(
                {
                    "data": arguments.path,
                    "labels": splits.labels,
                    **facts,
                    "counts": counts,
                    "skipped": [{"path": name, "error": reason} for name, reason in splits.skipped],
                }
            )
        )
        return 3 if splits.skipped else 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{splits.name}: {len(splits.labels)} classes, {size}")
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for name in counts:
        table.add_column(name, justify="right")
    for index, label in enumerate(splits.labels):
        table.add_row(label, *(f"{column[index]:,}" for column in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(column):,}" for column in counts.values()))
    console.print(table)
    for name, reason in splits.skipped:
        console.print(f"skipped {name}: {reason}")
    return 3 if splits.skipped else 0


def _size(part: "Images | Sentences") -> tuple[dict[str, Any], str]:
    """How large a picture or a text is, for JSON and in words."""
    from vit.data.texts import Sentences

    if isinstance(part, Sentences):
        characters = median(map(len, part.texts))
        return {"characters": characters}, f"texts of {characters:.0f} characters (median)"
    height, width = part.size
    return {"image_size": [height, width], "channels": part.channels}, f"{height} x {width} pixels"
