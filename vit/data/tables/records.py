"""Texts in files, row by row: plain lines, TSV, CSV, JSON and parquet. Every row becomes a record."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from vit.data.tables.columns import ALL_COLUMNS, find_column, require_column, text_column
from vit.data.tables.rows import SURROGATE, Row, Table, require_unicode
from vit.data.tables.table_file import open_table
from vit.errors import VitError, one_line_message

# Interrupted jobs list their inputs with the labels of these, so no name may be added.
LISTED_LABELS = ("label", "labels", "class", "target")
STATUSES = {
    "ok": "a text",
    "empty": "no text, or white space alone",
    "broken": "a row that cannot be read; its error says why",
}


class Record(NamedTuple):
    """One row of a file. Lines, rows and the positions in an error count from 1."""

    name: str  # `FILE:LINE`, the line where the row begins; of parquet and of lists in JSON `FILE:ROW`
    text: str  # as in the file, white space included; "" where the status is not `ok`
    label: str | None  # as in the file; None: it has no label, or none that can be read, or a broken row
    status: str  # one of `STATUSES`
    error: str  # one line; "" where the status is `ok`
    kept: list[str | None] | None = None  # the values of the columns to keep; None: there are none


class _Columns(NamedTuple):
    """The columns that are read."""

    text: str
    label: str | None
    keep: list[str | None]  # None: a row of JSON that does not have it


def read_records(
    file: Path, name: str | None = None, *, column: str | None = None, keep: Sequence[str] = ()
) -> Iterator[Record]:
    r"""Stream the rows of a file: all of them, in order.

    Columns, and keys of JSON, are found by name, in any case: texts as `vit.data.tables.columns.text_column`
    does. Labels are read along, where there are any, and never needed. Integer labels of parquet take their
    names from the schema's Hugging Face metadata.

    Args:
        file: A file with one of `vit.data.tables.table_file.SUFFIXES`, in any case, and perhaps `.gz`.
        name: Prefix of the records' names; None: the path as it was given.
        column: The column with the texts; None: a usual name. Lines of text have no columns.
        keep: Columns whose values the records have in `kept`, as text.

    Raises:
        VitError: At the first record: no such file, another suffix, no header, or no such column. Later: the
            rest of the file cannot be read.
    """
    prefix = file if name is None else name
    with open_table(file, (*ALL_COLUMNS, *filter(None, (column, *keep)))) as table:
        columns_of = lru_cache(64)(partial(_find, table, column, keep))
        columns = None if table.columns is None else columns_of(tuple(table.columns))
        for row in table.rows([] if columns is None else _used(columns)):
            yield _record(f"{prefix}:{row.number}", row, table, columns, columns_of)


def _find(table: Table, column: str | None, keep: Sequence[str], names: tuple[str, ...]) -> _Columns:
    """What the columns of a row hold."""
    label = find_column(names, LISTED_LABELS)
    if table.is_lines:
        return _Columns("text", label, [None] * len(keep))
    text = text_column(names, column, [] if label is None else [label])
    if text in table.others:
        raise VitError(f"has {table.others[text]} in its column {text}, expected strings")
    if table.columns is None:  # an object leaves out what it does not have
        return _Columns(text, label, [find_column(names, [wanted]) for wanted in keep])
    return _Columns(text, label, [require_column(names, wanted, "--keep") for wanted in keep])


def _used(columns: _Columns) -> list[str]:
    """The columns that are read, each once."""
    used = (columns.text, columns.label, *columns.keep)
    return list(dict.fromkeys(name for name in used if name is not None))


def _record(
    name: str,
    row: Row,
    table: Table,
    columns: _Columns | None,
    columns_of: Callable[[tuple[str, ...]], _Columns],
) -> Record:
    kept: list[str | None] | None = None
    label: str | None = None
    try:
        if row.error:
            raise VitError(row.error)
        if columns is None:
            columns = columns_of(tuple(row.values))
        if columns.keep:
            kept = [_as_text(row.values.get(column)) if column else None for column in columns.keep]
        text = row.values[columns.text]
        if text is None and table.columns is not None:
            text = ""
        if not isinstance(text, str):
            raise VitError(f"{columns.text} is of type {type(text).__name__}, expected a string")
        require_unicode(text)
    except VitError as error:
        return Record(name, "", None, "broken", one_line_message(error), kept)
    if columns.label is not None:
        label = _label(row.values.get(columns.label), table.class_names.get(columns.label, []))
    if not text.strip():
        return Record(name, "", label, "empty", "has no text", kept)
    return Record(name, text, label, "ok", "", kept)


def _label(value: Any, class_names: list[str]) -> str | None:
    """A label as text; None: there is none, or none that can be read."""
    if class_names and isinstance(value, int):
        return class_names[value] if 0 <= value < len(class_names) else None
    text = str(value) if isinstance(value, str | int | float) else ""
    return text if text.strip() and not SURROGATE.search(text) else None


def _as_text(value: Any) -> str | None:
    """The value of a column to keep: lists and objects as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()
