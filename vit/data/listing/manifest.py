"""Manifests: tables that list pictures, and their labels."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from vit.data.found import ReadOptions, Skipped
from vit.data.listing.listing import Item, Listing
from vit.data.listing.parts import find_parts
from vit.data.listing.picture_paths import PicturePaths
from vit.data.listing.table_files import left_aside, tables_in
from vit.data.listing.tree import PICTURES
from vit.data.tables.columns import (
    ALL_COLUMNS,
    ID_COLUMNS,
    PATH_COLUMNS,
    PATH_OPTION,
    TEXT_COLUMNS,
    find_column,
    listed,
    require_column,
)
from vit.data.tables.labelled import LabelledRow, LabelledRows
from vit.data.tables.labels import LabelColumns, find_labels
from vit.data.tables.parquet_rows import holds_bytes
from vit.data.tables.table_file import SUFFIXES, open_table, suffix_of
from vit.errors import VitError

NAMES = ("metadata", "manifest", "labels")  # of a manifest in a folder, before the suffix
REPEATED = "listed more than once: the first row counts"
LOOKED_AT = 20  # rows that tell whether a table lists pictures
DEFAULTS = ReadOptions()


def find_manifest(root: Path, options: ReadOptions = DEFAULTS) -> Path | None:
    """What `list_manifest` can read at a path; None: there is no manifest.

    A manifest is a table with labels and a column of pictures. Of a folder it is a table named `metadata`,
    `manifest` or `labels`; or the folder itself, if tables in it are named by part (`train.csv`), or if its
    folders of parts have a table `metadata` each, as those of Hugging Face have.

    Args:
        root: A table, or a folder.
        options: Names of columns.

    Raises:
        VitError: The names of tables in a folder allow more than one reading.
    """
    if root.is_file():
        return root if _is_manifest(root, options) else None
    if not root.is_dir():
        return None
    for table in _named(root):
        if _is_manifest(table, options):
            return table
    tables = [table for _, table in _tables_of_parts(root)]
    return root if any(_is_manifest(table, options) for table in tables) else None


def possible_manifest(root: Path) -> Path | None:
    """A table that may list the pictures of a folder once its columns are named; None: there is none."""
    if named := _named(root):
        return named[0]
    tables = tables_in(root)
    return root if _tables_of_parts(root) else tables[0] if len(tables) == 1 else None


def list_manifest(manifest: Path, options: ReadOptions) -> Listing:
    """The pictures of a manifest that exist, and their labels.

    Paths are relative to the folder of the table, or to a folder in it that is named `images`, `train` or
    like the table; they may lack the suffix. A row whose file does not exist is skipped as `missing`; so is
    one whose file was listed before.

    Args:
        manifest: As `find_manifest` returns it.
        options: Which columns hold paths and labels.

    Raises:
        VitError: A table cannot be read, or has no column of paths, or no labels.
    """
    tables = [("all", manifest)] if manifest.is_file() else _tables_of_parts(manifest)
    base = manifest.parent if manifest.is_file() else manifest

    def choose(
        columns: Sequence[str], class_names: Mapping[str, list[str]]
    ) -> tuple[str, LabelColumns | None]:
        path = path_column(columns, options)
        return path, find_labels(columns, options, class_names, path)

    rows = LabelledRows(options, "path", choose)
    folders: dict[str, PicturePaths] = {}
    for part, table in tables:
        name = table.relative_to(base).as_posix()
        folders[name] = PicturePaths(table, base)
        rows.read(part, table, name)
    labels = rows.arrange(manifest)
    skipped: Skipped = []
    items: dict[str, Item] = {}
    for part, members in rows.parts.items():
        for row in members:
            paths = folders[row.name.rpartition(":")[0]]
            found = paths.find(row.value)
            name = row.value if isinstance(found, str) else paths.name(found)
            if isinstance(found, str) or name in items:
                skipped.append((name, found if isinstance(found, str) else REPEATED))
            else:
                items[name] = _item(row, found, name, None if part == "all" else part, labels)
    if not items:
        first = f"{skipped[0][0]} is {skipped[0][1]}" if skipped else "it has no rows"
        raise VitError(f"{manifest} lists no picture that exists: {first}; paths are relative to its folder")
    notes = [*_not_read(manifest), *rows.notes] if manifest.is_dir() else rows.notes
    return Listing(list(items.values()), labels, [*rows.skipped, *skipped], notes)


def path_column(columns: Sequence[str], options: ReadOptions) -> str:
    """The column of paths: the one asked for, or one with a usual name.

    Raises:
        VitError: There is none.
    """
    if options.input_column is not None:
        return require_column(columns, options.input_column, PATH_OPTION)
    if (usual := find_column(columns, (*PATH_COLUMNS, *ID_COLUMNS))) is not None:
        return usual
    wanted = f"expected paths in one of {', '.join(PATH_COLUMNS)}"
    raise VitError(f"has the columns {listed(columns)}, {wanted}: {PATH_OPTION} names another")


def _item(row: LabelledRow, path: Path, name: str, part: str | None, labels: list[str]) -> Item:
    if isinstance(row.label, dict):
        several = {label: row.label.get(label, 0.0) for label in labels}
        return Item(path, name, labels=several, part=part, group=row.group)
    return Item(path, name, row.label, part=part, group=row.group)


def _named(root: Path) -> list[Path]:
    """The tables that a manifest's name may have, in order of preference."""
    tables = tables_in(root)
    return [table for name in NAMES for table in tables if table.name.split(".")[0].lower() == name]


def _tables_of_parts(root: Path) -> list[tuple[str, Path]]:
    """Part and table: tables named by part, or the first manifest of each folder that is."""
    tables = find_parts(tables_in(root)).paths
    if tables:
        return [(part, table) for part, members in tables.items() for table in members]
    folders = find_parts(path for path in root.iterdir() if path.is_dir() and _named(path)).paths
    return [
        (part, named[0])
        for part, members in folders.items()
        for folder in members
        if (named := _named(folder))
    ]


def _not_read(root: Path) -> list[str]:
    """Notes about the tables of a folder that are none of its parts."""
    tables = tables_in(root)
    found = find_parts(tables)
    return left_aside(tables, found) if found.paths else []


def _is_manifest(table: Path, options: ReadOptions) -> bool:
    """Whether a table has labels, and lists pictures: its first rows name some, or files that exist."""
    suffix = suffix_of(table)
    if suffix not in SUFFIXES or suffix == ".txt" or (suffix == ".parquet" and holds_bytes(table)):
        return False
    paths = PicturePaths(table, table.parent)
    try:
        with open_table(table, ALL_COLUMNS) as opened:
            columns = opened.columns
            column = None if columns is None else _column_of_pictures(columns, options)
            if columns is not None and column is None:
                return False
            for row in islice(opened.rows([column] if column else []), LOOKED_AT):
                column = _column_of_pictures(columns or list(row.values), options)
                value = row.values.get(column) if column else None
                if isinstance(value, str | int) and _is_picture(str(value), paths):
                    return True
    except VitError:
        return False
    return False


def _is_picture(value: str, paths: PicturePaths) -> bool:
    return Path(value.strip()).suffix.lower() in PICTURES or isinstance(paths.find(value), Path)


def _column_of_pictures(columns: Sequence[str], options: ReadOptions) -> str | None:
    """The column that may name pictures; None: there is none, or the table has texts, or no labels."""
    try:
        path = path_column(columns, options)
        if find_column([path], ID_COLUMNS) is not None and find_column(columns, TEXT_COLUMNS) is not None:
            return None
        return None if find_labels(columns, options, path=path) is None else path
    except VitError:
        return None
