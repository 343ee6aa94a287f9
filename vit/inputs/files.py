"""From INPUT arguments to files: those below a folder in sorted order, without the whole list in memory."""

import glob
import heapq
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from vit.data.decode import DecodeError
from vit.errors import VitError
from vit.inputs.archives import Member, is_archive, list_members
from vit.inputs.links import FolderLinks

NAMES_IN_MEMORY = 100_000  # more are sorted on disk


class Entry(NamedTuple):
    """One input file.

    Args:
        name: The path in its row: relative to the input if that is a single folder or archive, else as the
            command line gives it.
        path: The file, or the archive that it is in.
        member: Position in the archive; None for a file.
        failure: Status and detail if it is known from listing that the file cannot be read.
    """

    name: str
    path: Path
    member: Member | None = None
    failure: tuple[str, str] | None = None

    @classmethod
    def from_fields(
        cls, name: str, path: str | Path, member: Iterable[Any] | None, failure: Iterable[str] | None
    ) -> "Entry":
        """An entry from its fields, which JSON may have turned into strings and lists."""
        status_and_detail = None if failure is None else cast(tuple[str, str], tuple(failure))
        return cls(name, Path(path), None if member is None else Member(*member), status_and_detail)


def list_files(inputs: list[str], *, exclude: Iterable[Path] = ()) -> Iterator[Entry]:
    """Every file of the inputs, once each, sorted by name.

    Folders are read one at a time, as the caller consumes the entries. An archive counts as a folder. Links
    to folders are followed, each folder once. Everything else below a folder has an entry: broken links,
    pipes, sockets, and, with a slash after its name, a folder or an archive that cannot be listed, and a link
    to a folder that is listed elsewhere.

    Args:
        inputs: Files, folders (recursive), archives (.zip, .tar), or glob patterns (`**` is recursive);
            `@FILE`, the files that FILE names, a line each; `-`, those that standard input names.
        exclude: Files and folders to leave out, such as the command's own output.

    Raises:
        VitError: An input does not exist or cannot be listed, or a pattern matches nothing.
    """
    paths, lists = find_inputs(inputs)
    excluded = frozenset(os.path.abspath(path) for path in exclude)
    folders = [path for path in paths if os.path.isdir(path) or is_archive(path)]
    links = FolderLinks(folder for folder in folders if os.path.isdir(folder))
    if len(paths) == len(folders) == 1 and not lists:
        return _below(paths[0], "", excluded, links)
    files = sorted((path for path in paths if path not in folders), key=os.fsencode)
    streams = [_below(folder, folder.rstrip("/") + "/", excluded, links) for folder in folders]
    streams.append(Entry(file, Path(file)) for file in files)
    streams += map(_read_list, lists)
    return _without_repeats(heapq.merge(*streams, key=lambda entry: os.fsencode(entry.name)))


def find_inputs(inputs: list[str]) -> tuple[list[str], list[str]]:
    """The files and folders of the inputs, and the lists of names among them, `-` for standard input.

    Raises:
        VitError: An input does not exist, or a pattern matches nothing.
    """
    paths: list[str] = []
    lists: list[str] = []
    for argument in inputs:
        if os.path.lexists(argument):
            paths.append(os.path.normpath(argument))
        elif argument == "-":
            lists.append(argument)
        elif argument.startswith("@") and os.path.exists(argument[1:]):
            lists.append(argument[1:])
        else:
            matches = [os.path.normpath(match) for match in glob.glob(argument, recursive=True)]
            if not matches:
                problem = "matches nothing" if glob.has_magic(argument) else "does not exist"
                raise VitError(f"{argument} {problem}: expected a file, a folder, or a glob pattern")
            paths += matches
    return paths, lists


def absolute_inputs(inputs: list[str]) -> list[str]:
    """The inputs independent of the current folder, as `command.json` of a job has them."""
    return [argument if argument == "-" else os.path.abspath(argument) for argument in inputs]


def can_list_again(inputs: list[str]) -> bool:
    """Whether `list_files` can list the inputs: no list on standard input, or one that is given.

    A terminal and the null device give no list.
    """
    if "-" not in inputs:
        return True
    try:
        return not stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:  # standard input is closed
        return False


def _read_list(file: str) -> Iterator[Entry]:
    with open(0, "rb", closefd=False) if file == "-" else open(file, "rb") as stream:
        names = sorted_names(name for line in stream if (name := os.fsdecode(line.rstrip(b"\n"))))
    return (Entry(name, Path(name)) for name in names)


def _below(path: str, prefix: str, excluded: frozenset[str], links: FolderLinks) -> Iterator[Entry]:
    return _walk(path, prefix, excluded, links) if os.path.isdir(path) else _unpack(path, prefix)


def _unpack(archive: str, prefix: str) -> Iterator[Entry]:
    path = Path(archive)
    try:
        members = list_members(path)
    except DecodeError as error:
        yield Entry(prefix or path.name, path, failure=(error.status, error.detail))
        return
    for name, member in members:
        yield Entry(prefix + name, path, member)


def _walk(
    folder: str, prefix: str, excluded: frozenset[str], links: FolderLinks, *, linked: bool = False
) -> Iterator[Entry]:
    """Files below a folder, sorted by whole path: `a-b` before `a/b`, so a folder sorts with its slash.

    `linked`: a link led here.
    """
    try:
        with os.scandir(folder) as scan:
            names = sorted_names(
                item.name + "/" * (_is_folder(item) or is_archive(item.name)) for item in scan
            )
    except OSError as error:
        if not prefix:
            raise VitError(f"{folder} cannot be listed: {error.strerror}") from None
        status = {PermissionError: "permission", FileNotFoundError: "missing"}.get(type(error), "unreadable")
        yield Entry(prefix, Path(folder), failure=(status, f"the folder cannot be listed: {error.strerror}"))
        return
    for name in names:
        path = os.path.join(folder, name.rstrip("/"))
        if os.path.abspath(path) in excluded:
            continue
        if not name.endswith("/"):
            yield Entry(prefix + name, Path(path))
        elif not os.path.isdir(path):
            yield from _unpack(path, prefix + name)
        elif failure := links.refusal(path) if os.path.islink(path) else linked and links.enter(path):
            yield Entry(prefix + name, Path(path), failure=failure)
        else:
            yield from _walk(path, prefix + name, excluded, links, linked=linked or os.path.islink(path))


def _is_folder(item: os.DirEntry[str]) -> bool:
    return item.is_dir(follow_symlinks=False) or (item.is_symlink() and os.path.isdir(item.path))


def sorted_names(names: Iterable[str]) -> Iterator[str]:
    """Names sorted as bytes, at most `NAMES_IN_MEMORY` in memory; all are read before this returns."""
    names = iter(names)
    runs = [iter(sorted(islice(names, NAMES_IN_MEMORY), key=os.fsencode))]
    while run := sorted(islice(names, NAMES_IN_MEMORY), key=os.fsencode):
        runs.append(_on_disk(run))
    return runs[0] if len(runs) == 1 else heapq.merge(*runs, key=os.fsencode)


def _on_disk(names: list[str]) -> Iterator[str]:
    """The same names from a temporary file, which is deleted once they have been read."""
    file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
    file.write("\0".join(names) + "\0")  # the one character that no name contains
    file.seek(0)

    def read() -> Iterator[str]:
        with file:
            rest = ""
            while chunk := file.read(2**16):
                *complete, rest = (rest + chunk).split("\0")
                yield from complete

    return read()


def _without_repeats(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Drop a file that two inputs have in common; the entries are sorted by name."""
    return (next(group) for _, group in groupby(entries, key=lambda entry: entry.name))
