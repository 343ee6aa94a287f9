"""Files that are whole or not there: written beside their place, synced to the disk, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vit.errors import VitError


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path to write to in the place of `file`, which it becomes as a `with` block ends well.

    Until then what stood there stands. If the block or the disk fails, nothing is left beside it.

    Raises:
        VitError: The disk is full, or the folder may not be written to.
    """
    beside = file.with_name(f"{file.name}.tmp")
    try:
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, file)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise VitError(f"{file} cannot be written: {error.strerror or error}") from None
        raise
    sync_names(file.parent)


def write_text(file: Path, text: str) -> None:
    """Write a text file that is whole or not there, in UTF-8."""
    with replacing(file) as beside:
        beside.write_text(text, encoding="utf-8")


def sync_names(folder: Path) -> None:
    """Let the disk know the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
