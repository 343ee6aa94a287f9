"""Which parquet files of a folder are which part of a dataset, also in the layouts of Hugging Face."""

from pathlib import Path
from typing import NamedTuple

from vit.data.listing.parts import SHARD, find_parts
from vit.errors import VitError

DEPTH = 3  # as in plain_text/train/0000.parquet


class ParquetFiles(NamedTuple):
    """The parquet files of a dataset.

    Args:
        parts: `train`, `val`, `test`, those that the names tell, or else `all`; empty: there are no files.
        notes: What was left aside or passed through, a line each.
    """

    parts: dict[str, list[Path]]
    notes: list[str]


def find_parquet(root: Path) -> ParquetFiles:
    """The files of each part, sorted.

    Args:
        root: One file, or a folder: with files of the parts (`train-00000-of-00002.parquet`), with a folder
            for each part (`train/0000.parquet`), or with a single folder like these (`data`, `plain_text`).

    Raises:
        VitError: The names allow more than one reading.
    """
    if root.is_file():
        return ParquetFiles({"all": [root]}, [])
    return _find(root, DEPTH)


def _find(folder: Path, depth: int) -> ParquetFiles:
    files, folders = _content(folder)
    if files:
        return _parts_of_files(folder, files)
    if depth == 0:
        return ParquetFiles({}, [])
    below = {child: found for child in folders if (found := _find(child, depth - 1)).parts}
    parts = find_parts(child for child, found in below.items() if "all" in found.parts)
    if parts.paths:
        chosen = {
            part: [file for child in children for file in below[child].parts["all"]]
            for part, children in parts.paths.items()
        }
        read = {child for children in parts.paths.values() for child in children}
        reasons = dict(parts.aside)
        aside = [
            f"{child} is left aside: {reasons.get(child, 'it is no part')}"
            for child in below
            if child not in read
        ]
        return ParquetFiles(chosen, aside)
    if len(below) > 1:
        names = ", ".join(child.name for child in below)
        raise VitError(f"{folder} has parquet files in {names}: give one of these folders as data.root")
    for child, found in below.items():
        note = f"{child} is the only folder with parquet files in {folder}: read as the root"
        return ParquetFiles(found.parts, [note, *found.notes])
    return ParquetFiles({}, [])


def _parts_of_files(folder: Path, files: list[Path]) -> ParquetFiles:
    parts = find_parts(files)
    if parts.paths:
        read = {file for group in parts.paths.values() for file in group}
        reasons = dict(parts.aside)
        aside = [
            f"{file} is left aside: {reasons.get(file, 'it is no part')}"
            for file in files
            if file not in read
        ]
        return ParquetFiles(parts.paths, aside)
    if len({SHARD.sub("", file.stem) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise VitError(
            f"{folder} has {names}, none of which is named train, val or test: give one file as data.root, "
            "or rename them"
        )
    return ParquetFiles({"all": files}, [])


def _content(folder: Path) -> tuple[list[Path], list[Path]]:
    """The visible parquet files and folders in a folder, sorted; none where it cannot be listed."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return [], []
    return [p for p in paths if p.suffix == ".parquet" and p.is_file()], [p for p in paths if p.is_dir()]
