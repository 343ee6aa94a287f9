"""A command that computes one row for each of many inputs: interruptible, and shared by several processes.

While it runs, OUTPUT.parts is beside OUTPUT and holds:

    lock            held by the process that uses the folder (`vit.jobs.folder`)
    command.json    what the rows depend on; another command is refused
    000000.todo     the first shard of the inputs, one JSON line each (`vit.jobs.shards`)
    000000.rows     its rows, one JSON line each, once all of them are computed (`vit.jobs.rows`)
    listed          the number of shards and of inputs, once every input is listed
    rank0           empty: the first of several processes has finished

All but the lock are written under a temporary name, synced to the disk and renamed: a file that exists is
complete. The rows of a shard depend on that shard alone, so it does not matter which process computes it, or
when. A crash loses the rows of at most one shard per process.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from vit.atomic import replacing
from vit.jobs.folder import JobFolder, job_folder
from vit.jobs.ranks import SINGLE_PROCESS, Ranks
from vit.jobs.rows import RowFiles
from vit.jobs.shards import ListInputs, Shard, ShardList
from vit.jobs.table import WRITERS, Columns, Row, check_output

SHARD_SIZE = 512  # inputs

# Maps the fields of a shard's inputs to batches of rows, in order.
ComputeRows = Callable[[list[list[Any]]], Iterable[list[Row]]]


class Progress(NamedTuple):
    """How far a process is.

    Args:
        counts: Rows by status, those of earlier runs included.
        computed: Rows that this run has computed.
        total: Rows that there will be; None while inputs are still being listed.
    """

    counts: Counter[str]
    computed: int
    total: int | None


ProgressCallback = Callable[[Progress], None]


class Job:
    """The rows of one command; a context manager.

    Args:
        output: Ends in .csv, .jsonl or .parquet.
        columns: Name to type (`vit.jobs.table.COLUMN_TYPES`). One of them is `status`.
        command: What the rows depend on, as JSON types. An interrupted job of another command is refused.
        overwrite: Replace a finished output, and discard what another command left, or what was computed from
            inputs that have changed.
        shard_size: Inputs per shard.
        ranks: The processes that share the job, and which of them this is.
        resume: Continue what the same command left. False, for a single process: compute everything again.
        compare_inputs: Compare the inputs with those that an interrupted run listed to their end. False: take
            those.
        on_discard: Called with each row that is discarded.

    Raises:
        UsageError: OUTPUT has another suffix.
        VitError: OUTPUT exists, or its folder does not. On entering: OUTPUT.parts belongs to another command,
            or is in use by another process.
    """

    def __init__(
        self,
        output: Path,
        columns: Columns,
        command: dict[str, Any],
        *,
        overwrite: bool = False,
        shard_size: int = SHARD_SIZE,
        ranks: Ranks = SINGLE_PROCESS,
        resume: bool = True,
        compare_inputs: bool = True,
        on_discard: Callable[[Row], None] | None = None,
    ):
        check_output(output, overwrite=overwrite)
        self.output, self.columns, self._on_discard = output, columns, on_discard
        self._folder = JobFolder(
            job_folder(output),
            command | {"shard": shard_size},
            overwrite=overwrite,
            ranks=ranks,
            resume=resume,
            on_discard=self._discard_rows,
        )
        self._shards = ShardList(self._folder, shard_size, compare=compare_inputs)
        self._row_files = RowFiles(self._folder.path, columns)

    def __enter__(self) -> Self:
        self._folder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shards.stop()
        self._folder.__exit__(kind, error, trace)

    def run(
        self,
        list_inputs: ListInputs,
        compute_rows: ComputeRows,
        counts: Counter[str],
        on_progress: ProgressCallback,
    ) -> None:
        """Compute the rows of every shard of this process that is not done.

        Args:
            list_inputs: Begins to list the inputs.
            compute_rows: Maps the fields of a shard's inputs to batches of rows, in order.
            counts: Is updated with the number of rows by status, those that were done before included.
            on_progress: Called after each batch.
        """
        computed = 0
        for shard in self.unfinished(list_inputs, counts):
            with self.writer(shard) as write:
                for rows in compute_rows(shard.inputs):
                    write(rows)
                    counts.update(row["status"] for row in rows)
                    computed += len(rows)
                    on_progress(Progress(counts, computed, self.total))

    def unfinished(self, list_inputs: ListInputs, counts: Counter[str]) -> Iterator[Shard]:
        """The shards of this process that are not done; `counts` gets the rows of the others, by status.

        Raises:
            VitError: The inputs differ from those of the interrupted run that is being continued.
        """
        for shard in self._shards.read(list_inputs):
            if self._row_files.done(shard.number):
                counts.update(row["status"] for row in self._row_files.read(shard.number))
            else:
                yield shard

    def writer(self, shard: Shard) -> AbstractContextManager[Callable[[Iterable[Row]], None]]:
        """A function that appends rows to a shard, which is done when the `with` block ends without error."""
        return self._row_files.writer(shard.number)

    @property
    def total(self) -> int | None:
        """Number of rows of this process; None until all inputs are listed."""
        return self._shards.total

    def rows(self) -> Iterator[Row]:
        """All rows, in order, once every shard is done."""
        for number in range(self._shards.count):
            yield from self._row_files.read(number)

    def finish(self) -> Counter[str] | None:
        """Write OUTPUT, delete OUTPUT.parts, and return the number of rows by status.

        Of several processes the last one does it, and the others get None.
        """
        if self._folder.alone:
            return self._write_output()
        with self._folder.exclusive():
            self._folder.mark_finished()
            done = self._folder.all_finished() and all(map(self._row_files.done, range(self._shards.count)))
            return self._write_output() if done else None

    def _discard_rows(self, first: int) -> None:
        """Report the rows of the shards from number `first` on."""
        if self._on_discard is not None:
            for row in self._row_files.read_from(first):
                self._on_discard(row)

    def _write_output(self) -> Counter[str]:
        counts: Counter[str] = Counter()

        def counted() -> Iterator[Row]:
            for row in self.rows():
                counts[row["status"]] += 1
                yield row

        with replacing(self.output) as file:
            WRITERS[self.output.suffix](file, self.columns, counted())
        self._folder.remove()
        return counts
