"""The tables of a dataset of texts, part by part, as files and as clones from Hugging Face have them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.data.listing.parts import Parts, find_parts
from vit.data.tables.delimited import FASTTEXT
from vit.data.tables.table_file import SUFFIXES, is_list, open_bytes, suffix_of
from vit.errors import VitError

DATA = "data"  # the folder of the files, beside a README
ENDINGS = (*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES))
CONFIGS = ("default", "plain_text")  # of several configurations of a dataset, the one that is meant


class Tables(NamedTuple):
    """The tables of a dataset.

    Args:
        parts: Part -> its files; `all` for data without parts. Empty: there are none.
        notes: What is left aside.
    """

    parts: dict[str, list[Path]]
    notes: list[str]


def find_tables(root: Path) -> Tables:
    """The tables of a dataset.

    In this order: files of `root`; of `root/data`; in folders named by part (`train/0000.parquet`); the same
    in the only other folder that has some, or in `default` or `plain_text`, which are names of
    configurations. The files of a level are parts by their names; a single one, or the shards of one, of
    another name are all of the data.

    Args:
        root: A file, or a folder.

    Raises:
        VitError: There are several tables, or folders of some, and their names do not tell which to read.
    """
    if root.is_file():
        return Tables({"all": [root]}, [])
    for folder in (root, root / DATA):
        if files := tables_in(folder):
            return _by_name(folder, files)
    folders = _folders(root)
    if (found := _in_part_folders(folders)).parts:
        return found
    configs = {folder.name: found for folder in folders if (found := _of_config(folder)).parts}
    # A table in a class folder of images is none of the dataset's: in a configuration parts have names.
    configs = {name: found for name, found in configs.items() if "all" not in found.parts}
    named = [name for name in CONFIGS if name in configs] or list(configs)
    if not named:
        return Tables({}, [])
    if len(named) > 1 and named[0] not in CONFIGS:
        raise VitError(f"{root} has tables in {', '.join(named)}: give one of these folders as the root")
    aside = [f"{name} is left aside: {named[0]} is read" for name in configs if name != named[0]]
    return Tables(configs[named[0]].parts, [*configs[named[0]].notes, *aside])


def _of_config(folder: Path) -> Tables:
    if files := tables_in(folder):
        return _by_name(folder, files)
    return _in_part_folders(_folders(folder))


def _in_part_folders(folders: list[Path]) -> Tables:
    """The tables in folders named by part."""
    with_tables = {folder: files for folder in folders if (files := tables_in(folder))}
    found = find_parts(with_tables)
    parts = {
        part: [file for folder in members for file in with_tables[folder]]
        for part, members in found.paths.items()
    }
    return Tables(parts, left_aside(with_tables, found))


def _by_name(folder: Path, files: list[Path]) -> Tables:
    found = find_parts(files)
    if not found.paths:
        if len({_without_number(file) for file in files}) > 1:
            names = ", ".join(file.name for file in files[:10])
            raise VitError(
                f"{folder} has {names}, none of which is named train, val or test: name them so, or give "
                "one of them as the root"
            )
        return Tables({"all": files}, [])
    return Tables(found.paths, left_aside(files, found))


def left_aside(paths: Iterable[Path], found: Parts) -> list[str]:
    """A note about each file or folder that is in no part."""
    reasons = dict(found.aside)
    read = {path for members in found.paths.values() for path in members}
    unnamed = "it is not named train, val or test"
    return [f"{path.name} is left aside: {reasons.get(path, unnamed)}" for path in paths if path not in read]


def _without_number(file: Path) -> str:
    """The name without digits, which number the shards of one table."""
    return "".join(character for character in file.name if not character.isdigit())


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def tables_in(folder: Path) -> list[Path]:
    """The files of a folder that may hold labelled texts, sorted; the folder may have very many others."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as scan:
        names = [item.name for item in scan if item.name.lower().endswith(ENDINGS) and item.name[0] != "."]
    files = (folder / name for name in sorted(names))
    return [
        file for file in files if suffix_of(file) in SUFFIXES and file.is_file() and _may_have_labels(file)
    ]


def _may_have_labels(file: Path) -> bool:
    """Not lines of text without labels; not the JSON that describes a dataset: one object over many lines."""
    if suffix_of(file) != ".txt":
        return has_rows(file)
    with open_bytes(file) as stream:
        return FASTTEXT.encode() in stream.peek(64).replace(b"\0", b"")[:64]


def has_rows(file: Path) -> bool:
    """Not the JSON that describes a dataset: one object over many lines."""
    if suffix_of(file) != ".json":
        return True
    with open_bytes(file) as stream:
        return is_list(stream) or stream.readline().rstrip().endswith(b"}")
