"""The rows of a job, a file for each shard that is done."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vit.atomic import sync_names
from vit.jobs.table import Columns, Row


class RowFiles:
    """Writes and reads the rows of shards.

    Args:
        folder: The job's.
        columns: As a table takes them; a file has the values alone, in this order.
    """

    def __init__(self, folder: Path, columns: Columns):
        self.folder, self.columns = folder, columns

    def done(self, number: int) -> bool:
        """Whether the rows of a shard are complete."""
        return self._file(number).exists()

    @contextmanager
    def writer(self, number: int) -> Iterator[Callable[[Iterable[Row]], None]]:
        """A function that appends rows to a shard, which is done when the `with` block ends without error."""
        partial = self.folder / f"{number:06}.partial"
        with partial.open("w", encoding="ascii") as stream:

            def write(rows: Iterable[Row]) -> None:
                stream.writelines(json.dumps([row[name] for name in self.columns]) + "\n" for row in rows)
                stream.flush()

            yield write
            os.fsync(stream.fileno())
        os.replace(partial, self._file(number))
        sync_names(self.folder)

    def read(self, number: int) -> Iterator[Row]:
        """The rows of a shard that is done."""
        with self._file(number).open(encoding="ascii") as stream:
            yield from map(self._row, stream)

    def read_from(self, first: int) -> Iterator[Row]:
        """The rows of the shards from number `first` on, done or not; lines of another table are skipped."""
        for suffix in ("rows", "partial"):
            for file in self.folder.glob(f"*.{suffix}"):
                if int(file.stem) < first:
                    continue
                with file.open(encoding="ascii") as stream:
                    for line in stream:
                        with suppress(ValueError):  # another number of columns, or the end of a partial file
                            yield self._row(line)

    def _row(self, line: str) -> Row:
        values = zip(self.columns.items(), json.loads(line), strict=True)
        return {name: _value(value, kind) for (name, kind), value in values}

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.rows"


def _value(value: object, kind: type) -> object:
    """The value of a column; the files of earlier versions have the JSON text of a list of dicts."""
    return json.loads(value) if kind == list[dict] and isinstance(value, str) else value
