"""One path among the inputs of a function -> the files or texts that it stands for."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vit.errors import VitError, one_line_message
from vit.inputs.archives import is_archive
from vit.inputs.files import Entry

# Lists what an existing path holds: tuples with a field `name`.
Listing = Callable[[str], Iterable[Any]]


def require_path(path: str | os.PathLike[str]) -> str:
    """A path that is the only input, as a command takes it.

    Raises:
        VitError: It does not exist, and is no pattern.
    """
    name = os.fspath(path)
    if os.path.lexists(name) or glob.has_magic(name):
        return name
    raise VitError(f"{name}: {_missing(name)}")


def found(path: str, listing: Listing, *, is_only: bool) -> Iterator[Any]:
    """What a path among other inputs stands for; where nothing can be listed, an `Entry` with a failure.

    Args:
        path: A file, a folder, an archive, or a pattern, whose matches are sorted.
        listing: Lists what one of them holds.
        is_only: It is the only input: names are relative to a folder.
    """
    if not os.path.lexists(path):
        matches = sorted(glob.glob(path, recursive=True), key=os.fsencode) if glob.has_magic(path) else []
        for match in matches:
            yield from found(match, listing, is_only=False)
        if not matches:
            yield Entry(path, Path(path.replace("\0", "")), failure=("missing", _missing(path)))
        return
    path = os.path.normpath(path)
    prefix = "" if is_only or not is_folder(path) else path.rstrip("/") + "/"
    try:
        for each in listing(path):
            yield each._replace(name=prefix + each.name)
    except VitError as error:  # the folder itself cannot be listed
        status = "unreadable" if os.access(path, os.R_OK | os.X_OK) else "permission"
        yield Entry(path, Path(path), failure=(status, one_line_message(error)))


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path holds several files: a folder or an archive."""
    return os.path.isdir(path) or is_archive(os.fspath(path))


def _missing(path: str) -> str:
    if "://" in path:
        return "a URL is not fetched: download it, and pass the file"
    return "matches nothing" if glob.has_magic(path) else "no such file or folder"
