"""Say what a dataset holds: classes, pictures per split, their size, and the files that cannot be read.

example:
  vit data digits
  vit data my_pictures
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Path."""
    parser.add_argument(
        "path", metavar="PATH", help="a folder of class folders, parquet, or a dataset's name"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: "Namespace") -> int:
    """Print a table; 3 where some files were bad."""
    import json

    from rich.console import Console
    from rich.table import Table

    from vit.build import load_data, named_data

    splits = load_data(named_data(arguments.path))
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    counts = {
        name: part.targets.bincount(minlength=len(splits.labels)).tolist()
        for name, part in parts.items()
        if part is not None
    }
    height, width = splits.train.size
    if arguments.json:
        print(
            json.dumps(
                {
                    "data": arguments.path,
                    "labels": splits.labels,
                    "image_size": [height, width],
                    "channels": splits.train.channels,
                    "counts": counts,
                    "skipped": [{"path": name, "error": reason} for name, reason in splits.skipped],
                }
            )
        )
        return 3 if splits.skipped else 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{splits.name}: {len(splits.labels)} classes, {height} x {width} pixels")
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
