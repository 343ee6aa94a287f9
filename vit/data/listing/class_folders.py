"""Folders of pictures as people have them: which folders are parts of the data, and which are classes."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from vit.data.listing.listing import Item, Listing
from vit.data.listing.parts import PartName, find_parts, part_name
from vit.data.listing.tree import Folder, Tree, counted
from vit.errors import VitError


class ClassFolder(NamedTuple):
    """The folder of a class, and its part: `train`, `val`, `test`; None: the data have no parts."""

    part: str | None
    folder: Folder

    @property
    def label(self) -> str:
        """Its name, in the Unicode form that most systems write."""
        return unicodedata.normalize("NFC", self.folder.path.name)


def list_class_folders(tree: Tree) -> Listing:
    """The pictures of a tree of class folders.

    A folder is a class if pictures lie directly in it, and a part if it is named like one and its folders are
    classes. A folder that is the only one with pictures, with none directly in it, is passed through. Every
    visible file of a class folder is listed, at any depth.

    Raises:
        VitError: There are no class folders, or the names allow more than one reading.
    """
    listing = Listing([], [], list(tree.skipped), list(tree.notes))
    classes = list(_find_classes(tree.root, None, listing))
    if not classes:
        raise VitError(_no_classes(tree.root))
    listing.skipped.sort()
    listing.labels = sorted({each.label for each in classes})
    listing.notes += _alike(classes)
    for each in sorted(classes, key=lambda each: each.label):
        for folder, file in sorted(_files(each.folder), key=lambda pair: pair[0].named(pair[1])):
            listing.items.append(Item(folder.path / file, folder.named(file), each.label, part=each.part))
    return listing


def count_classes(tree: Tree) -> int:
    """How many class folders there are; 0 where the names allow more than one reading, or none."""
    try:
        return len(list(_find_classes(tree.root, None, Listing([], []))))
    except VitError:
        return 0


def _find_classes(folder: Folder, part: str | None, listing: Listing) -> Iterator[ClassFolder]:
    """The class folders below a folder, which is the root, a part, or one that was passed through."""
    holders = [child for child in folder.folders if child.has_pictures]
    parts = _find_parts(folder, holders, listing) if part is None else {}
    if not holders:
        return
    for child in folder.folders:
        if child not in holders:
            files = sum(len(below.files) for below in child.walk())
            what = f"has no pictures ({counted(files, 'file')}) and is left aside" if files else "is empty"
            listing.notes.append(f"the folder {child.name} {what}")
    listing.skipped += [(folder.named(file), "lies in no class folder") for file in folder.pictures]
    if parts:
        for name, folders in parts.items():
            for child in folders:
                yield from _find_classes(child, name, listing)
    elif len(holders) == 1 and not holders[0].pictures:
        where = folder.name or folder.path
        listing.notes.append(
            f"{holders[0].name} is the only folder with pictures in {where}: read as the root"
        )
        yield from _find_classes(holders[0], part, listing)
    else:
        yield from (ClassFolder(part, child) for child in holders)


def _find_parts(folder: Folder, holders: list[Folder], listing: Listing) -> dict[str, list[Folder]]:
    """The folders of each part; empty: these folders are classes. What is left aside is noted."""
    names = {child.name: part_name(child.path) for child in holders}
    divided = [child for child in holders if names[child.name] and any(c.has_pictures for c in child.folders)]
    unlabelled = [child for child in holders if child not in divided and _is_plain(names[child.name])]
    others = [child for child in holders if child not in divided and child not in unlabelled]
    if not divided:
        if unlabelled and not others:
            raise VitError(_unlabelled(folder, unlabelled))
        return {}
    parts = find_parts(child.path for child in divided)
    if others and len(parts.paths) == 1:
        [(part, paths)] = parts.paths.items()
        if any(child.pictures for child in divided) or not all(
            _is_plain(names[child.name]) for child in divided
        ):
            return {}
        raise VitError(
            f"{folder.path} may have the part {part} ({paths[0].name}) or the classes "
            f"{', '.join(child.path.name for child in holders[:5])}: give --data.root {paths[0]} to read the "
            f"part alone, or move the pictures in {paths[0].name} out of its folders if it is a class"
        )
    reasons = dict(parts.aside)
    for child in holders:
        if child in unlabelled:
            listing.notes.append(f"{child.name} has no class folders and is left aside ({child.size})")
        elif child in others:
            listing.notes.append(f"{child.name} is no part of the data and is left aside ({child.size})")
        elif child.path in reasons:
            listing.notes.append(f"{child.name} is left aside ({child.size}): {reasons[child.path]}")
    by_path = {child.path: child for child in divided}
    return {part: [by_path[path] for path in paths] for part, paths in parts.paths.items()}


def _is_plain(name: PartName | None) -> bool:
    """Whether a folder's name is a part's and says no more: `test`, `test_images`, `test1`."""
    return name is not None and (not name.rest or name.rest.isdigit())


def _files(folder: Folder) -> Iterator[tuple[Folder, str]]:
    return ((below, file) for below in folder.walk() for file in below.files)


def _alike(classes: list[ClassFolder]) -> Iterator[str]:
    """Notes on names that look alike."""
    for label, names in _groups((each.folder.path.name for each in classes), _nfc):
        listed = " and ".join(map(ascii, names))
        yield f"folders whose names differ in their Unicode form alone are one class, {label}: {listed}"
    for _, labels in _groups((each.label for each in classes), str.casefold):
        yield f"classes whose names differ in case alone are kept apart: {', '.join(labels)}"


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _groups(names: Iterable[str], key: Callable[[str], str]) -> Iterator[tuple[str, list[str]]]:
    """The names that are equal by the key and differ otherwise."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(key(name), set()).add(name)
    return ((common, sorted(group)) for common, group in groups.items() if len(group) > 1)


def _no_classes(root: Folder) -> str:
    loose = f"{root.size} directly in it and " if root.pictures else ""
    return (
        f"{root.path} has {loose}no class folders, expected one folder of pictures per class, or a table of "
        "paths and labels"
    )


def _unlabelled(folder: Folder, parts: list[Folder]) -> str:
    names = " and ".join(child.path.name for child in parts)
    return (
        f"{folder.path} has pictures directly in {names}, expected class folders there: put the pictures of "
        "each class into a folder of its own, give a table of paths and labels, or rename a class that is "
        "called like a part of the data"
    )
