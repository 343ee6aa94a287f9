"""Rows to CSV, JSONL or Parquet, streamed."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PARQUET_ROWS = 10_000


def _write_csv(file: Path, columns: dict[str, type], rows: Iterator[Row]) -> None:
    # surrogateescape: a name that is no UTF-8 comes out as the bytes that it is.
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerows({name: _flat(value) for name, value in row.items()} for row in rows)


def _flat(value: Any) -> Any:
    """A list as JSON, which one cell can hold."""
    return json.dumps(value) if isinstance(value, list) else value


def _write_jsonl(file: Path, columns: dict[str, type], rows: Iterator[Row]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(_parsed(row)) + "\n" for row in rows)


def _parsed(row: Row) -> Row:
    """A JSON line holds the list itself where the flat formats hold its text."""
    return {name: json.loads(value) if name == "topk" and value else value for name, value in row.items()}


def _write_parquet(file: Path, columns: dict[str, type], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), list: pa.list_(pa.float32())}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema) as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append({name: _storable(value) for name, value in row.items()})
            if len(batch) == PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema))


def _storable(value: Any) -> Any:
    """Parquet holds UTF-8 only: a byte that is none is written as \\xNN."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


WRITERS: dict[str, Callable[[Path, dict[str, type], Iterator[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
