"""Which files an input stands for: every file below a folder, in sorted order, without holding the list."""

import glob
import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from vit.errors import VitError


class Entry(NamedTuple):
    """One input file.

    Args:
        name: What its row is called: relative to the folder where one folder was given, else as the command
            line reaches it.
        path: Where it is.
    """

    name: str
    path: Path


def list_files(inputs: list[str], *, without: Iterable[Path] = ()) -> Iterator[Entry]:
    """Every file that the inputs stand for, once each, sorted by name.

    Folders are read one at a time, as the caller consumes the entries. Links to folders are not followed. All
    else below a folder has an entry: a link that leads nowhere, a pipe, a socket, and a folder, with a slash
    behind its name, that cannot be listed.

    Args:
        inputs: Files, folders (recursive) or glob patterns (`**` is recursive).
        without: Files and folders that are no input, though they may lie below one: the command's own output.

    Raises:
        VitError: An input does not exist or cannot be listed, or a pattern matches nothing.
    """
    found: list[str] = []
    for word in inputs:
        if os.path.lexists(word):
            found.append(os.path.normpath(word))
            continue
        matches = [os.path.normpath(match) for match in glob.glob(word, recursive=True)]
        if not matches:
            what = "matches nothing" if glob.has_magic(word) else "does not exist"
            raise VitError(f"{word} {what}: expected a file, a folder, or a glob pattern")
        found += matches
    own = frozenset(os.path.abspath(path) for path in without)
    if len(found) == 1 and os.path.isdir(found[0]):
        return _walk(found[0], "", own)
    folders = [word for word in found if os.path.isdir(word)]
    files = sorted((word for word in found if not os.path.isdir(word)), key=os.fsencode)
    streams = [_walk(folder, folder.rstrip("/") + "/", own) for folder in folders]
    streams.append(Entry(word, Path(word)) for word in files)
    return _once(heapq.merge(*streams, key=lambda entry: os.fsencode(entry.name)))


def _walk(folder: str, prefix: str, without: frozenset[str]) -> Iterator[Entry]:
    """Files below a folder, sorted as whole names: `a-b` before `a/b`, so folders sort with their slash."""
    try:
        with os.scandir(folder) as scan:
            entries = [
                item.name + "/" if item.is_dir(follow_symlinks=False) else item.name
                for item in scan
                if item.is_dir(follow_symlinks=False) or not item.is_dir()
            ]
    except OSError as error:
        if not prefix:
            raise VitError(f"{folder} cannot be listed: {error.strerror}") from None
        yield Entry(prefix, Path(folder))
        return
    for name in sorted(entries, key=os.fsencode):
        path = os.path.join(folder, name.rstrip("/"))
        if os.path.abspath(path) in without:
            continue
        if name.endswith("/"):
            yield from _walk(path, prefix + name, without)
        else:
            yield Entry(prefix + name, Path(path))


def _once(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Drop a file that two inputs both reach; equal names stand side by side."""
    return (next(group) for _, group in groupby(entries, key=lambda entry: entry.name))
