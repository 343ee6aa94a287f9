"""The work of a command on disk: a crash loses little of it, and several processes can share it.

While a run lasts, OUTPUT.parts stands beside OUTPUT and holds:

    command.json    what the rows follow from; another command is refused
    000000.todo     the first shard of the inputs, one JSON line each
    000000.rows     its rows, one JSON line each, once they are all there
    listed          the number of shards and of inputs, once every input is listed

Each of them is written beside its place, synced to the disk and renamed: one that is there is whole. Rows
of a shard depend on that shard alone, so it does not matter who computes it, or when.
"""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from vit.atomic import replacing, sync_names, write_text
from vit.errors import UsageError, VitError
from vit.jobs.table import WRITERS, Row

SHARD = 512  # inputs: at most so many are done again after a crash
PATIENCE = 2.0  # seconds for the thread that lists, where the work ends before it does

Entries = Callable[[], Iterable[tuple[Any, ...]]]
Make = Callable[[list[list[Any]]], Iterable[list[Row]]]


class Shard(NamedTuple):
    """A piece of the work.

    Args:
        number: Its place, from 0.
        entries: The fields of each of its inputs, as JSON keeps them.
    """

    number: int
    entries: list[list[Any]]


class Progress(NamedTuple):
    """How far the work of a process is.

    Args:
        counts: Rows by status, those of earlier runs included.
        made: Rows that this run has made.
        total: All rows that there will be; None while inputs are still being listed.
    """

    counts: Counter[str]
    made: int
    total: int | None


ProgressCallback = Callable[[Progress], None]


class Job:
    """The rows of one command, in shards; a context manager, which holds the lock of its folder.

    Args:
        output: Ends in .csv, .jsonl or .parquet.
        columns: Name to type: `str`, `int`, `float`, or `list` of float32; None is allowed in each.
        command: What the rows follow from; the parts of another command are refused.
        overwrite: Replace a finished output, and another command's parts.
        size: Inputs per shard.
        rank: This process, of `world`; it takes every `world`-th shard.
        world: Number of processes that share the work.

    Raises:
        UsageError: Another ending.
        VitError: OUTPUT exists, its parts belong to another command, or another process works on them.
    """

    def __init__(
        self,
        output: Path,
        columns: dict[str, type],
        command: dict[str, Any],
        *,
        overwrite: bool = False,
        size: int = SHARD,
        rank: int = 0,
        world: int = 1,
    ):
        if output.suffix not in WRITERS:
            raise UsageError(f"output is {output}, expected a name that ends in {', '.join(WRITERS)}")
        if output.exists() and not overwrite:
            raise VitError(f"{output} exists: --overwrite replaces it")
        if not output.parent.is_dir():
            raise VitError(f"{output} cannot be written: the folder {output.parent} does not exist")
        self.output, self.columns, self.size, self.rank, self.world = output, columns, size, rank, world
        self.folder = job_folder(output)
        self.first = json.dumps(command | {"shard": size}, sort_keys=True)
        self.overwrite = overwrite
        self._lister: Thread | None = None
        self._leaving = Event()

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        with ExitStack() as held:
            self.lock = held.enter_context((self.folder / "lock").open("w"))
            if self.world > 1:
                with self._alone():
                    self._open()
            else:
                try:
                    fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise VitError(f"{self.folder} is in another process's hands: wait for it") from None
                self._open()
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._lister is not None:
            self._lister.join(PATIENCE)  # it may be reading names from a pipe that nobody closes
        # What failed before its first shard was kept must not stand in the way of a corrected command.
        if error is not None and self.world == 1 and not any(self.folder.glob("*.rows")):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()

    def _open(self) -> None:
        """Begin, or go on with what the same command left."""
        begun = self.folder / "command.json"
        if begun.exists() and begun.read_text() != self.first:
            worthless = self.world == 1 and not any(self.folder.glob("*.rows"))
            if not (self.overwrite or worthless):
                raise VitError(
                    f"{self.folder} was begun by another command, or with another model: --overwrite starts "
                    "over"
                )
            for file in self.folder.iterdir():
                if file.name != "lock":
                    file.unlink()
        if not begun.exists():
            write_text(begun, self.first)
        self._through(self.rank).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process is in such a block."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)

    def shards(self, entries: Entries) -> Iterator[Shard]:
        """The shards of this process, in order, done or not.

        Alone it lists the inputs beside the work; of several processes the first lists them all.

        Args:
            entries: Begins to list the inputs, and gives the fields of each.

        Raises:
            VitError: The inputs are not those of an interrupted run any more.
        """
        for number in self._numbers(entries):
            lines = self._todo(number).read_text(encoding="ascii").splitlines()
            yield Shard(number, [json.loads(line) for line in lines])

    def _numbers(self, entries: Entries) -> Iterable[int]:
        if self.world == 1 and not self._listed.exists():
            return self._list_beside(entries)
        if self.world > 1:
            with self._alone():
                if not self._listed.exists():
                    for _ in self._list(entries()):
                        pass
        return range(self.rank, self.number, self.world)

    def run(self, entries: Entries, make: Make, counts: Counter[str], tell: ProgressCallback) -> None:
        """Make the rows of every shard of this process that is not done.

        Args:
            entries: Begins to list the inputs.
            make: From the fields of a shard's inputs to their rows, some at a time, in order.
            counts: Gets the number of rows by status, those included that were done before.
            tell: Called after each time.
        """
        made = 0
        for shard in self.missing(entries, counts):
            with self.writer(shard) as write:
                for rows in make(shard.entries):
                    write(rows)
                    counts.update(row["status"] for row in rows)
                    made += len(rows)
                    tell(Progress(counts, made, self.total))

    def missing(self, entries: Entries, counts: Counter[str]) -> Iterator[Shard]:
        """The shards of this process that are not done; `counts` gets the rows of the others, by status."""
        for shard in self.shards(entries):
            if self._rows(shard.number).exists():
                counts.update(row["status"] for row in self.rows(shard.number))
            else:
                yield shard

    def _list_beside(self, entries: Entries) -> Iterator[int]:
        """The number of each shard as soon as it stands on disk; a thread lists them, however far behind
        the work is, so that soon its end can be told."""
        found: SimpleQueue[int | Exception | None] = SimpleQueue()

        def work() -> None:
            try:
                for number in self._list(entries()):
                    found.put(number)
                    if self._leaving.is_set():
                        break
                found.put(None)
            except Exception as error:
                found.put(error)

        self._lister = Thread(target=work, name="list", daemon=True)
        self._lister.start()
        while (number := found.get()) is not None:
            if isinstance(number, Exception):
                raise number
            yield number

    def _list(self, entries: Iterable[tuple[Any, ...]]) -> Iterator[int]:
        entries = iter(entries)
        total = 0
        for number in count():
            some = [[_plain(field) for field in entry] for entry in islice(entries, self.size)]
            if not some:
                break
            todo = self._todo(number)
            text = "".join(json.dumps(entry) + "\n" for entry in some)
            if not todo.exists():
                write_text(todo, text)
            elif todo.read_text(encoding="ascii") != text:
                raise VitError(
                    f"the input is not what {self.folder} was begun with (first of its inputs "
                    f"{number * self.size} to {number * self.size + len(some) - 1}): --overwrite starts over"
                )
            total += len(some)
            yield number
        write_text(self._listed, json.dumps([number, total]))

    @property
    def total(self) -> int | None:
        """The rows of this process, once all inputs are listed."""
        if not self._listed.exists():
            return None
        number, inputs = json.loads(self._listed.read_text())
        shards = range(self.rank, number, self.world)
        missing = number * self.size - inputs if number - 1 in shards else 0
        return len(shards) * self.size - missing

    @property
    def number(self) -> int:
        """How many shards there are, once all inputs are listed."""
        return json.loads(self._listed.read_text())[0]

    @property
    def _listed(self) -> Path:
        return self.folder / "listed"

    def _through(self, rank: int) -> Path:
        """Says that a process needs the folder no more, even one without a shard of its own."""
        return self.folder / f"rank{rank}"

    def _todo(self, number: int) -> Path:
        return self.folder / f"{number:06}.todo"

    def _rows(self, number: int) -> Path:
        return self.folder / f"{number:06}.rows"

    @contextmanager
    def writer(self, shard: Shard) -> Iterator[Callable[[Iterable[Row]], None]]:
        """What takes the rows of a shard, in order; they count once the block ends well."""
        partial = self.folder / f"{shard.number:06}.partial"
        with partial.open("w", encoding="ascii") as stream:

            def write(rows: Iterable[Row]) -> None:
                stream.writelines(json.dumps([row[name] for name in self.columns]) + "\n" for row in rows)
                stream.flush()

            yield write
            os.fsync(stream.fileno())
        os.replace(partial, self._rows(shard.number))
        sync_names(self.folder)

    def rows(self, number: int) -> Iterator[Row]:
        """The rows of a shard that is done."""
        with self._rows(number).open(encoding="ascii") as stream:
            for line in stream:
                yield dict(zip(self.columns, json.loads(line), strict=True))

    def finish(self) -> Counter[str] | None:
        """Put the output together, and return the number of rows by status.

        Of several processes the last to be done does it; None is returned to the others.
        """
        if self.world == 1:
            return self._merge()
        with self._alone():
            write_text(self._through(self.rank), "")
            wanted = [*map(self._rows, range(self.number)), *map(self._through, range(self.world))]
            return self._merge() if all(file.exists() for file in wanted) else None

    def _merge(self) -> Counter[str]:
        counts: Counter[str] = Counter()

        def everything() -> Iterator[Row]:
            for number in range(self.number):
                for row in self.rows(number):
                    counts[row["status"]] += 1
                    yield row

        with replacing(self.output) as beside:
            WRITERS[self.output.suffix](beside, self.columns, everything())
        shutil.rmtree(self.folder)
        return counts


def job_folder(output: Path) -> Path:
    """Where the work stands while a run lasts."""
    return output.with_name(output.name + ".parts")


def _plain(field: Any) -> Any:
    return os.fspath(field) if isinstance(field, os.PathLike) else field
