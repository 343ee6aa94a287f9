"""Which files an input stands for: every file below a folder, in sorted order, without holding the list."""

import glob
import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from vit.data.decode import DecodeError
from vit.errors import VitError
from vit.inputs.archives import Member, is_archive, members

MOST = 100_000  # names that are sorted in memory


class Entry(NamedTuple):
    """One input file.

    Args:
        name: What its row is called: relative to the folder or archive where one alone was given, else as the
            command line reaches it.
        path: Where it is.
        member: Where in that archive it is.
        trouble: A status and a reason, where it is known without opening it that it cannot be read.
    """

    name: str
    path: Path
    member: Member | None = None
    trouble: tuple[str, str] | None = None


def list_files(inputs: list[str], *, without: Iterable[Path] = ()) -> Iterator[Entry]:
    """Every file that the inputs stand for, once each, sorted by name.

    Folders are read one at a time, as the caller consumes the entries; an archive is a folder. Links to
    folders are not followed. All else below a folder has an entry: a link that leads nowhere, a pipe, a
    socket, and, with a slash behind its name, a folder or an archive that cannot be listed.

    Args:
        inputs: Files, folders (recursive), archives (.zip, .tar), or glob patterns (`**` is recursive);
            `@FILE`, the files that FILE names, a line each; `-`, those that standard input names.
        without: Files and folders that are no input, though they may lie below one: the command's own output.

    Raises:
        VitError: An input does not exist or cannot be listed, or a pattern matches nothing.
    """
    found, lists = find_inputs(inputs)
    own = frozenset(os.path.abspath(path) for path in without)
    folders = [word for word in found if os.path.isdir(word) or is_archive(word)]
    if len(found) == len(folders) == 1 and not lists:
        return _below(found[0], "", own)
    files = sorted((word for word in found if word not in folders), key=os.fsencode)
    streams = [_below(folder, folder.rstrip("/") + "/", own) for folder in folders]
    streams.append(Entry(word, Path(word)) for word in files)
    streams += map(_read_list, lists)
    return _once(heapq.merge(*streams, key=lambda entry: os.fsencode(entry.name)))


def find_inputs(inputs: list[str]) -> tuple[list[str], list[str]]:
    """The paths that the inputs stand for, and the lists among them, `-` for standard input.

    Raises:
        VitError: An input does not exist, or a pattern matches nothing.
    """
    found: list[str] = []
    lists: list[str] = []
    for word in inputs:
        if os.path.lexists(word):
            found.append(os.path.normpath(word))
        elif word == "-":
            lists.append(word)
        elif word.startswith("@") and os.path.exists(word[1:]):
            lists.append(word[1:])
        else:
            matches = [os.path.normpath(match) for match in glob.glob(word, recursive=True)]
            if not matches:
                what = "matches nothing" if glob.has_magic(word) else "does not exist"
                raise VitError(f"{word} {what}: expected a file, a folder, or a glob pattern")
            found += matches
    return found, lists


def _read_list(file: str) -> Iterator[Entry]:
    with open(0, "rb", closefd=False) if file == "-" else open(file, "rb") as stream:
        names = sorted_names(name for line in stream if (name := os.fsdecode(line.rstrip(b"\n"))))
    return (Entry(name, Path(name)) for name in names)


def _below(path: str, prefix: str, without: frozenset[str]) -> Iterator[Entry]:
    return _walk(path, prefix, without) if os.path.isdir(path) else _unpack(path, prefix)


def _unpack(archive: str, prefix: str) -> Iterator[Entry]:
    path = Path(archive)
    try:
        found = members(path)
    except DecodeError as error:
        yield Entry(prefix or path.name, path, trouble=(error.status, error.detail))
        return
    for name, member in found:
        yield Entry(prefix + name, path, member)


def _walk(folder: str, prefix: str, without: frozenset[str]) -> Iterator[Entry]:
    """Files below a folder, sorted as whole names: `a-b` before `a/b`, so folders sort with their slash."""
    try:
        with os.scandir(folder) as scan:
            names = sorted_names(
                item.name + "/" * (item.is_dir(follow_symlinks=False) or is_archive(item.name))
                for item in scan
                if not (item.is_symlink() and os.path.isdir(item.path))
            )
    except OSError as error:
        if not prefix:
            raise VitError(f"{folder} cannot be listed: {error.strerror}") from None
        status = {PermissionError: "permission", FileNotFoundError: "missing"}.get(type(error), "unreadable")
        yield Entry(prefix, Path(folder), trouble=(status, f"the folder cannot be listed: {error.strerror}"))
        return
    for name in names:
        path = os.path.join(folder, name.rstrip("/"))
        if os.path.abspath(path) in without:
            continue
        if name.endswith("/"):
            yield from _below(path, prefix + name, without)
        else:
            yield Entry(prefix + name, Path(path))


def sorted_names(names: Iterable[str]) -> Iterator[str]:
    """Names sorted as bytes, with the memory of `MOST` of them; all are read before this returns."""
    names = iter(names)
    first = sorted(islice(names, MOST), key=os.fsencode)
    runs = [iter(first)]
    while some := sorted(islice(names, MOST), key=os.fsencode):
        runs.append(_on_disk(some))
    return runs[0] if len(runs) == 1 else heapq.merge(*runs, key=os.fsencode)


def _on_disk(names: list[str]) -> Iterator[str]:
    """The same names from a file without a name, which goes when they have been read."""
    file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
    file.write("\0".join(names) + "\0")  # the one character that no name has
    file.seek(0)

    def read() -> Iterator[str]:
        with file:
            rest = ""
            while some := file.read(2**16):
                *whole, rest = (rest + some).split("\0")
                yield from whole

    return read()


def _once(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Drop a file that two inputs both reach; equal names stand side by side."""
    return (next(group) for _, group in groupby(entries, key=lambda entry: entry.name))
