"""Show what a dataset holds: classes, pictures or texts per split, their size, and what cannot be read.

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
    from vit.data.texts import RawTexts


def add_arguments(parser: "ArgumentParser") -> None:
    """The path, and `--json`."""
    parser.add_argument("path", metavar="PATH", help="a folder of class folders, parquet, texts, or a name")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: "Namespace") -> int:
    """Print a table; 3 where some files were bad."""
    import json

    from rich.console import Console
    from rich.table import Table

    from vit.recipes.data import load_data, named_data

    splits = load_data(named_data(arguments.path))
    counts = {
        name: examples.targets.bincount(minlength=len(splits.labels)).tolist()
        for name, examples in splits.as_dict().items()
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


def _size(examples: "Images | RawTexts") -> tuple[dict[str, Any], str]:
    """The size of an image or a text, for JSON and for the terminal."""
    from vit.data.texts import RawTexts

    if isinstance(examples, RawTexts):
        characters = median(map(len, examples.texts))
        return {"characters": characters}, f"texts of {characters:.0f} characters (median)"
    height, width = examples.size
    return {"image_size": [height, width], "channels": examples.channels}, f"{height} x {width} pixels"
