"""The folder in which a job keeps its files until OUTPUT is written: which command owns it, and its lock."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from vit.atomic import write_text
from vit.errors import VitError
from vit.jobs.ranks import Ranks

LOCK = "lock"
LISTED = "listed"


def job_folder(output: Path) -> Path:
    """OUTPUT.parts, where the files of an unfinished job are."""
    return output.with_name(output.name + ".parts")


class JobFolder:
    """Creates the folder of a job, or continues the one that the same command left; a context manager.

    A single process holds the lock all the time. Several processes take it in turns, each in `exclusive`.

    Args:
        path: The folder; its parent exists.
        command: What the rows depend on, as JSON types. It is kept in `command.json`.
        overwrite: Discard what another command left.
        ranks: The processes that share the job.
        resume: Continue what the same command left; otherwise it is discarded. A job that several processes
            share is always continued.
        on_discard: Called before shards are discarded, with the number of the first of them.

    Raises:
        VitError: On entering: the folder belongs to another command, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        command: dict[str, Any],
        *,
        overwrite: bool,
        ranks: Ranks,
        resume: bool = True,
        on_discard: Callable[[int], None] = lambda first: None,
    ):
        self.path, self.overwrite, self.ranks, self._on_discard = path, overwrite, ranks, on_discard
        self.command = json.dumps(command, sort_keys=True)
        self.alone = ranks.world_size == 1
        self.resume = resume or not self.alone
        self._lock = FileLock(path / LOCK)

    def __enter__(self) -> Self:
        self.path.mkdir(exist_ok=True)
        if not self.alone:
            with self.exclusive():
                self._claim()
            return self
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise VitError(
                f"{self.path} is in use by another process: wait until it ends, or choose another --output"
            ) from None
        try:
            self._claim()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A command that failed before its first shard was done must not block the corrected command.
        if error is not None and self.alone and not self._has_rows():
            self.remove()
        self._lock.release()
        with suppress(OSError):
            self.path.rmdir()  # `remove` leaves it where a locked file cannot be deleted (Windows, NFS)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock during a `with` block; wait until no other process holds it."""
        with self._lock:
            yield

    def discard(self, first: int = 0) -> None:
        """Delete the shards from number `first` on; the lock must be held."""
        self._on_discard(first)
        (self.path / LISTED).unlink(missing_ok=True)
        for suffix in ("rows", "partial", "todo"):  # a crash in between must not leave rows of other inputs
            for file in self.path.glob(f"*.{suffix}"):
                if int(file.stem) >= first:
                    file.unlink()

    def remove(self) -> None:
        """Delete the folder; the lock must be held."""
        shutil.rmtree(self.path, ignore_errors=True)

    def mark_finished(self) -> None:
        """Record that this process no longer needs the folder."""
        write_text(self._mark(self.ranks.rank), "")

    def all_finished(self) -> bool:
        """Whether every process, also one without a shard, has called `mark_finished`."""
        return all(self._mark(rank).exists() for rank in range(self.ranks.world_size))

    def _mark(self, rank: int) -> Path:
        return self.path / f"rank{rank}"

    def _has_rows(self) -> bool:
        return any(self.path.glob("*.rows"))

    def _claim(self) -> None:
        """Check that the folder belongs to this command, or make it so."""
        owner = self.path / "command.json"
        previous = owner.read_text(encoding="utf-8") if owner.exists() else None
        if previous not in (None, self.command):
            worthless = self.alone and not self._has_rows()
            if not (self.overwrite or worthless):
                raise VitError(
                    f"{self.path} was begun by another command, or with another model: --overwrite starts "
                    "over"
                )
        if previous != self.command or not self.resume:
            self.discard()
            for file in self.path.iterdir():
                if file.name != LOCK:
                    file.unlink()
            write_text(owner, self.command)
        self._mark(self.ranks.rank).unlink(missing_ok=True)
