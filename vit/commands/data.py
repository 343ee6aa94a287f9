"""Show what a dataset holds, before anything is trained: classes and parts, sizes, what cannot be read, exact
and near duplicates within parts and across them; and which option of vit train answers it.

example:
  vit data digits
  vit data my_pictures --output looked_at
  vit data reviews.tsv --json

--output writes files.csv, a row for each file, and, of pictures, contact_sheet.png into a folder.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.console import Console

    from vit.config import DataConfig

SHOWN = 20  # lines of skipped files


def add_arguments(parser: "ArgumentParser") -> None:
    """The path, how it is read and divided, and where to write."""
    parser.add_argument("path", metavar="PATH", help="a folder of class folders, parquet, texts, or a name")
    parser.add_argument("--column", help="of a table, with the texts or the paths (default: a usual name)")
    parser.add_argument("--label-column", help="of a table, with the labels (default: a usual name)")
    parser.add_argument("--label-columns", help="with 0 or 1, one for each label, separated by commas")
    parser.add_argument("--label-separator", help="divides several labels in one field")
    parser.add_argument("--group", help="as --data.group of vit train: pictures that stay in one part")
    parser.add_argument("--image-size", type=int, help="pixels of a side, as --data.image_size of vit train")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--output", metavar="DIR", help="folder for files.csv and contact_sheet.png")
    parser.add_argument("--overwrite", action="store_true", help="write into a DIR that is not empty")


def run(arguments: "Namespace") -> int:
    """Print a description; 3 where some files were bad."""
    import json

    if arguments.overwrite and arguments.output is None:
        raise UsageError("--overwrite is an option of --output, which is missing")

    from vit.recipes.inspection.files import check_output, write_inspection
    from vit.recipes.inspection.inspect import inspect_data

    if arguments.output is not None:
        check_output(Path(arguments.output), overwrite=arguments.overwrite)
    config = _config(arguments)
    inspection = inspect_data(config)
    if arguments.output is not None:
        write_inspection(Path(arguments.output), inspection)
    if arguments.json:
        print(json.dumps({"data": arguments.path} | inspection.facts))
    else:
        _print(config.name, inspection.facts)
        if arguments.output is not None:
            print(f"files  {Path(arguments.output) / 'files.csv'}")
    return 3 if inspection.facts["skipped"] else 0


def _config(arguments: "Namespace") -> "DataConfig":
    from dataclasses import replace

    from vit.recipes.data import named_data

    return replace(
        named_data(arguments.path),
        image_size=arguments.image_size,
        input_column=arguments.column,
        label_column=arguments.label_column,
        label_columns=tuple(filter(None, (arguments.label_columns or "").split(","))),
        label_separator=arguments.label_separator,
        group=arguments.group,
    )


def _print(name: str, facts: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    noun = "pictures" if facts["kind"] == "image" else "texts"
    classes = "1 class" if len(facts["labels"]) == 1 else f"{len(facts['labels']):,} classes"
    console.print(f"{name}: {facts['n']:,} {noun}, {classes}, {_form(facts)}")
    console.print(_parts(facts))
    _print_counts(console, facts)
    for line in _details(facts):
        console.print(line)
    for row in facts["skipped"][:SHOWN]:
        console.print(f"skipped {row['path']}: {row['error']}")
    if len(facts["skipped"]) > SHOWN:
        console.print(f"skipped {len(facts['skipped']) - SHOWN:,} more (--json lists all)")
    for note in facts["notes"]:
        console.print(f"note: {note}")
    if facts["findings"]:
        console.print("\nfindings, most serious first:")
    for finding in facts["findings"]:
        console.print(f"- {finding['sentence']}")


def _form(facts: dict[str, Any]) -> str:
    if "lengths" in facts:
        return f"texts of {facts['characters']:.0f} characters (median)"
    return f"{facts['image_size'][0]} x {facts['image_size'][1]} pixels"


def _parts(facts: dict[str, Any]) -> str:
    """Whose the parts are."""
    if facts["refusal"] and facts["counts"].keys() == facts["parts"].keys():
        return "no parts" if "all" in facts["parts"] else f"parts: {', '.join(facts['parts'])}"
    if "all" in facts["parts"]:
        return "no parts: vit train divides them"
    own = ", ".join(facts["parts"])
    made = ", ".join(part for part in facts["counts"] if part not in facts["parts"])
    return f"parts: {own}" + (f"; vit train takes {made} out of train" if made else "")


def _print_counts(console: "Console", facts: dict[str, Any]) -> None:
    from rich.table import Table

    counts = facts["counts"]
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for part in counts:
        table.add_column(part, justify="right")
    for index, label in enumerate(facts["labels"]):
        table.add_row(label, *(f"{column[index]:,}" for column in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{facts['part_sizes'][part]:,}" for part in counts))
    console.print(table)


def _details(facts: dict[str, Any]) -> list[str]:
    """A line for each fact that has one."""
    balance, exact, near = facts["balance"], facts["duplicates"]["exact"], facts["duplicates"]["near"]
    largest, smallest = balance["largest"], balance["smallest"]
    lines = []
    if len(facts["labels"]) > 1 and balance["ratio"] is not None:
        majority = balance["majority_accuracy"]
        always = "" if majority is None else f"; always {largest['label']!r}: accuracy {majority:.1%}"
        sizes = f"largest {largest['label']!r} {largest['n']:,}, smallest {smallest['label']!r} "
        lines.append(f"balance     {sizes}{smallest['n']:,}, ratio {balance['ratio']:.1f}{always}")
    if sizes := facts["sizes"]:
        median, least, most = (_pixels(sizes[key]) for key in ("median", "smallest", "largest"))
        square = f"{sizes['not_square']:.0%} not square"
        lines.append(f"sizes       {median} (median), {least} to {most} pixels, {square}")
    if crop := facts["crop"]:
        worst = f", at most {crop['worst']:.0%} ({crop['worst_path']})" if crop["worst"] else ""
        lines.append(f"centre crop cuts away {crop['mean']:.0%} of the area on average{worst}")
    if lengths := facts.get("lengths"):
        bounds = f"{lengths['smallest']:,} to {lengths['largest']:,}"
        lines.append(f"lengths     {lengths['median']:,.0f} (median), {bounds} characters")
    alike = "near duplicates not looked for: the pictures are too small"
    if near is not None:
        how = "look like another" if facts["kind"] == "image" else "have the words of another"
        alike = f"{near['n']:,} near ({how})"
    lines.append(f"duplicates  {exact['copies']:,} exact, {alike}")
    return lines


def _pixels(size: list[float]) -> str:
    return " x ".join(f"{side:,.0f}" for side in size)
