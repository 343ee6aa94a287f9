"""The inputs of a job, listed to disk in shards."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, NamedTuple

from vit.atomic import write_text
from vit.errors import VitError
from vit.jobs.folder import LISTED, JobFolder

JOIN_SECONDS = 2.0  # how long to wait for the listing thread when the job ends before it does

# Begins to list the inputs; each is a tuple of its fields.
ListInputs = Callable[[], Iterable[tuple[Any, ...]]]


class Shard(NamedTuple):
    """A number of consecutive inputs.

    Args:
        number: Counted from 0.
        inputs: The fields of each input, as JSON types.
    """

    number: int
    inputs: list[list[Any]]


class ShardList:
    """The list of shards, in a job's folder.

    Args:
        folder: The job's, entered.
        size: Inputs per shard.
        compare: Compare the inputs with those that an earlier run listed to their end.
    """

    def __init__(self, folder: JobFolder, size: int, *, compare: bool = True):
        self.folder, self.size, self.compare, self.ranks = folder, size, compare, folder.ranks
        self._listed = folder.path / LISTED
        self._thread: Thread | None = None
        self._stopping = Event()

    def read(self, list_inputs: ListInputs) -> Iterator[Shard]:
        """The shards of this process, in order: every `world_size`-th.

        A single process lists the inputs in a thread, while the first shards are being computed. Of several
        processes the first lists them all. If an earlier run has listed them, a single process, or rank 0,
        lists them again in the thread, to compare.

        Raises:
            VitError: The inputs differ from those of the interrupted run that is being continued.
        """
        for number in self._numbers(list_inputs):
            lines = self._file(number).read_text(encoding="ascii").splitlines()
            yield Shard(number, [json.loads(line) for line in lines])

    def stop(self) -> None:
        """End the listing thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)  # it may be blocked on a pipe that stays open

    @property
    def count(self) -> int:
        """Number of shards of all processes, once all inputs are listed."""
        return json.loads(self._listed.read_text())[0]

    @property
    def total(self) -> int | None:
        """Number of inputs of this process; None until all inputs are listed."""
        try:
            shards, inputs = json.loads(self._listed.read_text())
        except FileNotFoundError:
            return None
        own = range(self.ranks.rank, shards, self.ranks.world_size)
        missing_in_last = shards * self.size - inputs if shards - 1 in own else 0
        return len(own) * self.size - missing_in_last

    def _numbers(self, list_inputs: ListInputs) -> Iterable[int]:
        rank, world_size = self.ranks
        with self.folder.exclusive():
            listed = self._listed.exists()
            if not listed and not self.folder.alone:
                for _ in self._list(list_inputs()):
                    pass
        in_thread = (self.compare and rank == 0) if listed else self.folder.alone
        if in_thread:
            return (number for number in self._list_in_thread(list_inputs) if number % world_size == 0)
        return range(rank, self.count, world_size)

    def _list_in_thread(self, list_inputs: ListInputs) -> Iterator[int]:
        """The number of each shard as soon as its file is written.

        The thread does not wait for the shards to be computed, so that their total is known early.
        """
        results: SimpleQueue[int | Exception | None] = SimpleQueue()

        def work() -> None:
            try:
                for number in self._list(list_inputs()):
                    results.put(number)
                    if self._stopping.is_set():
                        break
                results.put(None)
            except Exception as error:
                results.put(error)

        self._thread = Thread(target=work, name="list", daemon=True)
        self._thread.start()
        while (result := results.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result

    def _list(self, inputs: Iterable[tuple[Any, ...]]) -> Iterator[int]:
        """Write each shard's file, or compare it with the one that is there, and yield its number."""
        inputs = iter(inputs)
        total = 0
        for number in count():
            shard = [[_as_json(field) for field in fields] for fields in islice(inputs, self.size)]
            text = "".join(json.dumps(fields) + "\n" for fields in shard)
            if self._differs(number, text):
                self._replace_from(number, len(shard))
            if not shard:
                break
            file = self._file(number)
            if not file.exists():
                write_text(file, text)
            total += len(shard)
            yield number
        if not self._listed.exists():
            write_text(self._listed, json.dumps([number, total]))

    def _differs(self, number: int, text: str) -> bool:
        """Whether an earlier run listed something else than `text` as a shard; empty: as its end."""
        file = self._file(number)
        if file.exists():
            return file.read_text(encoding="ascii") != text
        return bool(text) and self._listed.exists()

    def _replace_from(self, number: int, inputs: int) -> None:
        """Discard the shards from the first one that differs on; without `overwrite` refuse to."""
        if self.folder.overwrite and self.folder.alone:
            self.folder.discard(number)
            return
        file = self._file(number)
        if file.exists():
            inputs = max(inputs, len(file.read_text(encoding="ascii").splitlines()))
        first = number * self.size
        # Several processes: another may be computing these shards, so that they cannot be discarded here.
        way_out = "--overwrite starts over" if self.folder.alone else f"delete {file.parent} to start over"
        raise VitError(
            f"the inputs are not those that {self.folder.path} was begun with (the first difference "
            f"is among inputs {first} to {first + inputs - 1}): {way_out}"
        )

    def _file(self, number: int) -> Path:
        return self.folder.path / f"{number:06}.todo"


def _as_json(field: Any) -> Any:
    return os.fspath(field) if isinstance(field, os.PathLike) else field
