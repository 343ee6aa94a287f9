"""Rows to CSV, JSONL or Parquet, streamed, and continued after an interruption.

While a run lasts its rows stand in `OUTPUT.partial`, one JSON object a line, below a first line that says
which command they belong to. Only a finished run writes OUTPUT itself, in one rename.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vit.errors import UsageError, VitError

Row = dict[str, Any]
PARQUET_ROWS = 10_000


class Table:
    """The rows of one command, in order.

    Args:
        output: Ends in .csv, .jsonl or .parquet.
        columns: Name to type: `str`, `int`, `float`, or `list` of float32; None is allowed in each.
        command: What the rows follow from; a partial file of another command is refused.
        overwrite: Replace a finished output, and a partial one.

    Attributes:
        done: Number of rows that an interrupted run of the same command had already written.

    Raises:
        UsageError: Another ending.
        VitError: OUTPUT exists, or a partial file belongs to another command.
    """

    def __init__(
        self, output: Path, columns: dict[str, type], command: dict[str, Any], *, overwrite: bool = False
    ):
        if output.suffix not in WRITERS:
            raise UsageError(f"output is {output}, expected a name that ends in {', '.join(WRITERS)}")
        if output.exists() and not overwrite:
            raise VitError(f"{output} exists: --overwrite replaces it")
        if not output.parent.is_dir():
            raise VitError(f"{output} cannot be written: the folder {output.parent} does not exist")
        self.output = output
        self.columns = columns
        self.partial, self.made = partial_files(output)
        self.done = 0
        first = json.dumps(command, sort_keys=True)
        if self.partial.exists() and overwrite and not self._is_ours(first):
            self.partial.unlink()
        if self.partial.exists():
            self.done = self._recover(first)
            self.stream = self.partial.open("ab")
        else:
            self.stream = self.partial.open("wb")
            self.stream.write(first.encode() + b"\n")

    def _is_ours(self, first: str) -> bool:
        with self.partial.open("rb") as stream:
            return stream.readline() == first.encode() + b"\n"

    def _recover(self, first: str) -> int:
        """Count the whole rows of an interrupted run and cut off a half-written one."""
        whole, rows = 0, -1
        with self.partial.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                if rows < 0 and line.decode() != first + "\n":
                    raise VitError(
                        f"{self.partial} was begun by another command, or with another model: "
                        "--overwrite starts over"
                    )
                whole += len(line)
                rows += 1
        os.truncate(self.partial, whole)
        if rows < 0:
            with self.partial.open("wb") as stream:
                stream.write(first.encode() + b"\n")
        return max(rows, 0)

    def write(self, rows: list[Row]) -> None:
        """Append rows and hand them to the operating system."""
        lines = (json.dumps([row[name] for name in self.columns]) + "\n" for row in rows)
        self.stream.write("".join(lines).encode())
        self.stream.flush()

    def finish(self) -> None:
        """Turn the partial file into the output."""
        WRITERS[self.output.suffix](self.made, self.columns, self.rows())
        with self.made.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(self.made, self.output)
        self.stream.close()
        self.partial.unlink()

    def rows(self) -> Iterator[Row]:
        """Every row so far, those of an interrupted run included."""
        self.stream.flush()
        with self.partial.open(encoding="utf-8") as stream:
            next(stream)
            for line in stream:
                yield dict(zip(self.columns, json.loads(line), strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()


def partial_files(output: Path) -> tuple[Path, Path]:
    """Where the rows stand while a run lasts, and where the output is put together."""
    return output.with_name(output.name + ".partial"), output.with_name(output.name + ".tmp")


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
