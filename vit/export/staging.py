"""Files that are tested before they are there: written to a folder beside their place, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vit.atomic import sync_names, temporary_path
from vit.errors import UsageError, VitError


def check_place(file: Path, suffix: str, *, overwrite: bool) -> None:
    """Refuse a place that a file could not be written to.

    Raises:
        UsageError: The name does not end in `suffix`.
        VitError: It exists and is not to be replaced, it is a folder, or its folder does not exist.
    """
    if file.suffix != suffix:
        raise UsageError(f"--output is {file}, expected a name that ends in {suffix}")
    if file.is_dir():
        raise VitError(f"{file} is a folder, expected the name of a file")
    if file.exists() and not overwrite:
        raise VitError(f"{file} exists: --overwrite replaces it")
    if not file.parent.is_dir():
        raise VitError(f"{file} cannot be written: the folder {file.parent} does not exist")


@contextmanager
def staged(file: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside `file`; what is in it when the block ends is moved next to it, `file` itself last.

    After an error the folder is removed, and nothing else has changed.

    Args:
        file: Where the main file goes: the block writes it to the folder, under its own name.
        overwrite: Replace other files with the names of those in the folder.

    Raises:
        VitError: Such a file exists with other content, the disk is full, or the folder cannot be made.
    """
    folder = temporary_path(file)
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir()
        yield folder
        _move(folder, file, overwrite)
    except OSError as error:
        raise VitError(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, file: Path, overwrite: bool) -> None:
    made = sorted(folder.iterdir(), key=lambda each: each.name == file.name)
    for each in made:
        there = file.parent / each.name
        if there.exists() and not overwrite and there.read_bytes() != each.read_bytes():
            raise VitError(f"{there} exists, and has other content: --overwrite replaces it")
        with each.open("rb+") as stream:
            os.fsync(stream.fileno())
    for each in made:
        os.replace(each, file.parent / each.name)
    sync_names(file.parent)
