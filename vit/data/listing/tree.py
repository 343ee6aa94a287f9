"""The files in a folder and in all folders below it. Links to folders are followed, once."""

import os
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from vit.data.decode import FORMATS
from vit.data.found import Skipped
from vit.errors import VitError

# Endings of pictures, also of kinds that cannot be decoded: these are reported, file by file.
PICTURES = {
    ".apng", ".arw", ".avif", ".bmp", ".cr2", ".cr3", ".dib", ".dng", ".gif", ".heic", ".heif", ".ico",
    ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".nef", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".psd", ".qoi", ".svg", ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
BOOKKEEPING = {"thumbs.db", "desktop.ini"}  # of file managers; names with a dot in front are hidden anyway
ASIDE = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}


@dataclass
class Folder:
    """A folder.

    Args:
        path: Where it is.
        name: Its path relative to the root, with `/`; empty for the root.
        files: Names of the visible files in it, sorted.
        folders: The visible folders in it, sorted by name.
    """

    path: Path
    name: str
    files: list[str] = field(default_factory=list)
    folders: list["Folder"] = field(default_factory=list)

    def walk(self) -> Iterator["Folder"]:
        """This folder and all below it."""
        stack = [self]
        while stack:
            folder = stack.pop()
            yield folder
            stack += reversed(folder.folders)

    def named(self, file: str) -> str:
        """The path of a file or folder in it, relative to the root."""
        return f"{self.name}/{file}" if self.name else file

    @cached_property
    def pictures(self) -> list[str]:
        """Those of its own files that are pictures, told by their endings; without one, by their content."""
        return [file for file in self.files if _is_picture(self.path / file)]

    @cached_property
    def has_pictures(self) -> bool:
        """Whether there are pictures in it or below it."""
        return any(_is_picture(folder.path / file) for folder in self.walk() for file in folder.files)

    @property
    def size(self) -> str:
        """The number of pictures in it and below it, in words."""
        return counted(sum(len(folder.pictures) for folder in self.walk()), "picture")


@dataclass
class Tree:
    """A folder with all below it.

    Args:
        root: The folder.
        skipped: Folders that cannot be listed.
        notes: What was left aside, a line each.
    """

    root: Folder
    skipped: Skipped = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_tree(root: Path) -> Tree:
    """List a folder and all below it. Links are followed last, so that a folder keeps its own name.

    Raises:
        VitError: The folder itself cannot be listed.
    """
    tree = Tree(Folder(root, ""))
    # A link to a folder that the root lies in would lead back to the root.
    seen = {_identity(parent): "a folder that it lies in" for parent in root.resolve().parents}
    aside: Counter[str] = Counter()
    waiting: deque[tuple[Folder | None, Folder]] = deque([(None, tree.root)])  # a folder and its parent
    links: deque[tuple[Folder | None, Folder]] = deque()
    while waiting or links:
        parent, folder = (waiting or links).popleft()
        try:
            identity = _identity(folder.path)
            with os.scandir(folder.path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            _report(folder, error, tree)
            continue
        if identity in seen:
            tree.notes.append(f"{folder.name} leads to {seen[identity]} and is not read a second time")
            continue
        seen[identity] = f"the folder {folder.name or root}"
        if parent is not None:
            parent.folders.append(folder)
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in BOOKKEEPING:
                continue
            if not os.path.isdir(entry.path) if entry.is_symlink() else not entry.is_dir():
                folder.files.append(entry.name)
            elif entry.name.lower() in ASIDE:
                aside[entry.name] += 1
            else:
                child = Folder(Path(entry.path), folder.named(entry.name))
                (links if entry.is_symlink() else waiting).append((folder, child))
    for folder in tree.root.walk():
        folder.folders.sort(key=lambda child: child.name)
    tree.notes += [f"{name} ({count}) is left aside" for name, count in sorted(aside.items())]
    return tree


def counted(count: int, noun: str) -> str:
    """A number and its noun: `1 picture`, `2,000 pictures`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _report(folder: Folder, error: OSError, tree: Tree) -> None:
    if folder is tree.root:
        raise VitError(f"{folder.path} cannot be listed: {error.strerror}") from None
    status = {PermissionError: "permission", FileNotFoundError: "missing"}.get(type(error), "unreadable")
    tree.skipped.append((f"{folder.name}/", f"{status}: the folder cannot be listed: {error.strerror}"))


def _identity(folder: Path) -> tuple[int, int]:
    state = os.stat(folder)
    return state.st_dev, state.st_ino


def _is_picture(file: Path) -> bool:
    if file.suffix:
        return file.suffix.lower() in PICTURES
    with suppress(Exception), Image.open(file, formats=FORMATS):  # reads the header alone
        return True
    return False
