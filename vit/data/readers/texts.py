"""Datasets of labelled texts: tables, one for each part or one for all, and class folders of text files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vit.data.found import Found, ReadOptions
from vit.data.listing.table_files import find_tables
from vit.data.readers.text_folder import folders_hold_others, holds_class_folders, read_class_folders
from vit.data.tables.columns import text_column
from vit.data.tables.labelled import LabelledRows
from vit.data.tables.labels import LabelColumns, find_labels, label_targets
from vit.data.tables.parquet_rows import holds_bytes
from vit.data.tables.table_file import SUFFIXES, suffix_of
from vit.data.texts import RawTexts
from vit.errors import VitError


def read_texts(root: Path, options: ReadOptions) -> Found[RawTexts]:
    """All labelled texts of a dataset.

    Args:
        root: A table (`vit.data.tables.table_file.SUFFIXES`; .txt has lines of fastText, `__label__x text`),
            a folder with tables as `find_tables` finds them, or one with class folders of text files.
        options: Which columns hold texts and labels.

    Raises:
        VitError: No such files, no column of texts, or no labels.
    """
    tables = find_tables(root)
    if not tables.parts:
        return read_class_folders(root)

    def choose(
        columns: Sequence[str], class_names: Mapping[str, list[str]]
    ) -> tuple[str, LabelColumns | None]:
        labels = find_labels(columns, options, class_names)
        return text_column(columns, options.input_column, labels.read if labels else ()), labels

    rows = LabelledRows(options, "text", choose)
    for part, files in tables.parts.items():
        for file in files:
            rows.read(part, file, file.name if file == root else file.relative_to(root).as_posix())
    labels = rows.arrange(root)
    parts = {
        part: RawTexts(
            [row.value for row in members],
            label_targets([row.label for row in members], labels, several=options.several_labels),
            [row.name for row in members],
        )
        for part, members in rows.parts.items()
    }
    return Found(parts, labels, rows.skipped, [*tables.notes, *rows.notes], rows.groups())


def holds_texts(root: Path) -> bool:
    """Whether data at a path look like texts rather than images: tables, or class folders of text files.

    Parquet may hold either: it holds texts if none of its columns holds bytes. A table that is not named by
    part, beside folders of other files, says nothing: it may be a list of their classes.
    """
    try:
        tables = find_tables(root)
    except VitError:
        return True  # several tables, about which `read_texts` says more
    files = [file for members in tables.parts.values() for file in members]
    if not files:
        return holds_class_folders(root)
    if files[0].suffix.lower() == ".parquet":
        return not holds_bytes(files[0])
    if root.is_dir() and "all" in tables.parts:
        return not folders_hold_others(root)
    return suffix_of(files[0]) in SUFFIXES
