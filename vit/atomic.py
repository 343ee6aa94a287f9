"""Files that are complete or absent, also after a crash: written to a temporary file, synced, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vit.errors import VitError


def temporary_path(file: Path) -> Path:
    """Where `replacing` writes before it renames."""
    return file.with_name(f"{file.name}.tmp")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `file` when the `with` block ends without an error.

    Until then `file` stays as it is. After an error the temporary file is removed.

    Raises:
        VitError: The disk is full, or the folder may not be written to.
    """
    temporary = temporary_path(file)
    try:
        yield temporary
        with temporary.open("rb+") as stream:  # Windows syncs only a file that is open for writing
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise VitError(f"{file} cannot be written: {error.strerror or error}") from None
        raise
    sync_names(file.parent)


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_names(folder: Path) -> None:
    """Sync the list of names in a folder to the disk; Windows has no call for it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
