"""Rows to CSV, JSONL or Parquet, streamed."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from vit.errors import UsageError, VitError

Row = dict[str, Any]
Columns = dict[str, type]  # name to one of `COLUMN_TYPES`; any value may be None
PARQUET_ROWS = 10_000  # per row group


class ColumnType(NamedTuple):
    """How the values of a column are stored. JSONL stores them as they are.

    Args:
        csv: A value to what its cell holds.
        parquet: A value to what its cell holds.
        arrow: The library pyarrow, which is imported late, to the type of the Parquet column.
    """

    csv: Callable[[Any], Any]
    parquet: Callable[[Any], Any]
    arrow: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _utf8(text: str) -> str:
    """Parquet holds UTF-8 only: a byte of a file's name that is not is written as \\xNN."""
    return text.encode("utf-8", "backslashreplace").decode()


COLUMN_TYPES: dict[Any, ColumnType] = {
    str: ColumnType(_same, _utf8, lambda arrow: arrow.string()),
    int: ColumnType(_same, _same, lambda arrow: arrow.int64()),
    float: ColumnType(_same, _same, lambda arrow: arrow.float64()),
    list[float]: ColumnType(_json, _same, lambda arrow: arrow.list_(arrow.float32())),
    list[str]: ColumnType(_json, lambda value: _utf8(_json(value)), lambda arrow: arrow.string()),
    list[dict]: ColumnType(_json, lambda value: _utf8(_json(value)), lambda arrow: arrow.string()),
}


def _cells(row: Row, stores: dict[str, Callable[[Any], Any]]) -> Row:
    return {name: None if value is None else stores[name](value) for name, value in row.items()}


def _write_csv(file: Path, columns: Columns, rows: Iterator[Row]) -> None:
    stores = {name: COLUMN_TYPES[kind].csv for name, kind in columns.items()}
    # surrogateescape: a name that is not UTF-8 is written as its own bytes.
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerows(_cells(row, stores) for row in rows)


def _write_jsonl(file: Path, columns: Columns, rows: Iterator[Row]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def _arrow_schema(columns: Columns) -> Any:
    import pyarrow

    return pyarrow.schema([(name, COLUMN_TYPES[kind].arrow(pyarrow)) for name, kind in columns.items()])


def arrow_table(columns: Columns, rows: Iterable[Row]) -> Any:
    """Rows as a `pyarrow.Table` in memory: what a .parquet file of them holds."""
    import pyarrow

    stores = {name: COLUMN_TYPES[kind].parquet for name, kind in columns.items()}
    return pyarrow.Table.from_pylist([_cells(row, stores) for row in rows], _arrow_schema(columns))


def _write_parquet(file: Path, columns: Columns, rows: Iterator[Row]) -> None:
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(file, _arrow_schema(columns)) as writer:
        while True:
            batch = list(islice(rows, PARQUET_ROWS))
            writer.write_table(arrow_table(columns, batch))
            if len(batch) < PARQUET_ROWS:
                return


WRITERS: dict[str, Callable[[Path, Columns, Iterator[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse an output that could not be written.

    Raises:
        UsageError: Its suffix is none of `WRITERS`.
        VitError: It exists, or its folder does not.
    """
    if output.suffix not in WRITERS:
        raise UsageError(f"output is {output}, expected a name that ends in {', '.join(WRITERS)}")
    if output.exists() and not overwrite:
        raise VitError(f"{output} exists: --overwrite replaces it")
    if not output.parent.is_dir():
        raise VitError(f"{output} cannot be written: the folder {output.parent} does not exist")
