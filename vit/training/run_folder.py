"""The folder of a run: when it is refused, created, resumed, replaced and locked.

    runs/NAME/              the run
    runs/NAME/lock          locked by the process that trains in the folder
    runs/NAME/checkpoints/  what `--resume` continues from (see `vit.training.checkpoints`)
    runs/NAME.replaced/     the run that `--overwrite` replaces, until the new run has its first checkpoint

It imports no torch, so that a folder is refused at once.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from vit.config import RUNS, Config
from vit.config_file import first_difference
from vit.errors import UsageError, VitError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # the checkpoints that a run can be resumed from
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # of torchrun, Lightning, SLURM

log = logging.getLogger("vit")


def is_rank_zero() -> bool:
    """Whether this is process 0, or the only one: it creates the folder that the others find."""
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, and what to do if it exists. `prepare_run_folder` checks that it may be used.

    Args:
        path: `runs/NAME`.
        resume: Continue the run in it.
        overwrite: Replace the run in it.
    """

    path: Path
    resume: bool = False
    overwrite: bool = False

    @classmethod
    def named(cls, name: str, *, resume: bool = False, overwrite: bool = False) -> "RunFolder":
        """The folder `runs/NAME`; nothing is read or written.

        Raises:
            UsageError: The name is not one folder's name, or the run is to be both resumed and replaced.
        """
        if name in ("", ".", "..") or Path(name).name != name:
            raise UsageError(f"--name is {name!r}, expected a folder's name: the run goes to runs/NAME")
        if resume and overwrite:
            raise UsageError("--resume continues the run and --overwrite replaces it: give one of the two")
        return cls(RUNS / name, resume, overwrite)

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is something to resume: `best.ckpt`, or a checkpoint half written, is not enough."""
        return any((self.path / "checkpoints" / name).is_file() for name in (LAST, PREVIOUS))

    @property
    def replaced(self) -> Path:
        """Where the run that is replaced waits for the first checkpoint of the new one."""
        return self.path.with_name(self.path.name + ".replaced")

    @property
    def replacement_failed(self) -> bool:
        """Whether the run in the folder was to replace another, and has no checkpoint."""
        return self.replaced.is_dir() and not self.has_checkpoints

    @property
    def config_to_resume(self) -> Path:
        """The config of the run that `--resume` continues; it is there before and after `put_back`."""
        return (self.replaced if self.replacement_failed else self.path) / "config.yaml"

    def put_back(self) -> None:
        """Put back a run whose replacement was killed before its first checkpoint."""
        if self.replacement_failed:
            with _lock(self.path):
                shutil.rmtree(self.path, ignore_errors=True)
                self.replaced.rename(self.path)

    def check(self, config: Config) -> None:
        """Refuse a folder that is taken, or that holds something other than a run of this config.

        Raises:
            VitError: With the way out.
        """
        path = self.path
        if self.resume and not path.exists():
            return
        if self.resume:
            if not (path / "config.yaml").is_file():
                raise VitError(f"{path} has no config.yaml, so it is not a run: choose another --name")
            difference = first_difference(path / "config.yaml", config)
            if difference:
                raise VitError(f"cannot resume {path}: {difference}")
        elif path.exists() and not self.overwrite:
            raise VitError(self._exists_message())
        elif path.exists() and not (path / "config.yaml").is_file():
            raise VitError(
                f"{path} has no config.yaml, so it is not a run and is not replaced: choose another --name"
            )

    def _exists_message(self) -> str:
        resume = "--resume continues it, " if self.has_checkpoints else ""
        return f"{self.path} exists: {resume}--overwrite replaces it, --name starts another"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Create and lock the folder, and log to `train.log` in it, for the time of a `with` block.

        If the block fails before the first checkpoint, the new folder is removed, and a run that was to be
        replaced is put back. In other processes than the first one the block simply runs.

        Raises:
            VitError: Another process trains in the folder, or has created it since it was checked.
        """
        if not is_rank_zero():
            yield
            return
        if self.overwrite and self.path.exists():
            with _lock(self.path):
                shutil.rmtree(self.replaced, ignore_errors=True)
                self.path.rename(self.replaced)
        try:
            self.path.mkdir(parents=True, exist_ok=self.resume)
        except FileExistsError:
            raise VitError(self._exists_message()) from None
        with _lock(self.path):
            try:
                with _log_file(self.path / "train.log"):
                    yield
            finally:
                if self.has_checkpoints:
                    shutil.rmtree(self.replaced, ignore_errors=True)
                elif not self.resume:
                    shutil.rmtree(self.path)
                    if self.replaced.is_dir():
                        self.replaced.rename(self.path)


def prepare_run_folder(
    name: str, config: Config, *, resume: bool = False, overwrite: bool = False
) -> RunFolder:
    """The folder `runs/NAME`, if `config` may be trained in it. Nothing is created yet.

    Args:
        name: One folder's name.
        config: The config of the run.
        resume: Continue the run in the folder; without a checkpoint it begins, so that a job which may be
            killed at any moment always gives the same command.
        overwrite: Replace the run in the folder.

    Raises:
        UsageError: The name is not one folder's name, or `resume` and `overwrite` are both given.
        VitError: The folder exists and may not be used.
    """
    folder = RunFolder.named(name, resume=resume, overwrite=overwrite)
    if is_rank_zero():
        folder.put_back()
        folder.check(config)
    if not resume or folder.has_checkpoints:
        return folder
    if is_rank_zero():
        with _lock(folder.path):  # killed before its first checkpoint: nothing in it is worth keeping
            shutil.rmtree(folder.path, ignore_errors=True)
    return RunFolder(folder.path)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder, if it exists. The lock of a process that was killed is free; its file may remain.

    Raises:
        VitError: Another process holds the lock.
    """
    if not folder.is_dir():
        yield
        return
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise VitError(
            f"{folder} is in use by another process: wait for it, or choose another --name"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _log_file(file: Path) -> Iterator[None]:
    """Send the log of a run to a file, and not to the root logger's handlers."""
    handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if RunFolder(file.parent).has_checkpoints:
            log.info("stopped; --resume goes on")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
        log.setLevel(level)
        log.propagate = propagate
