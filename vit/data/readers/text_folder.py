"""Class folders of texts: one file is one text, the name of its folder the label."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vit.data.found import Found, Skipped
from vit.data.listing.parts import find_parts
from vit.data.listing.table_files import left_aside
from vit.data.tables.labels import label_targets
from vit.data.tables.rows import decoded
from vit.data.tables.table_file import SUFFIXES, suffix_of
from vit.data.texts import RawTexts
from vit.errors import VitError

TEXT_SUFFIXES = ("", ".txt", ".text")  # without one: the files of 20 Newsgroups
UNLABELLED = ("unsup", "unlabeled", "unlabelled")  # folders of a part whose texts have no label (IMDB)
FOLDERS_LOOKED_AT, FILES_LOOKED_AT = 10, 10  # that tell whether folders hold texts
SNIFFED = 2048  # bytes of a file without suffix that tell whether it is a text
BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def holds_class_folders(root: Path) -> bool:
    """Whether most of the first files in the class folders of `root` are texts."""
    if not root.is_dir():
        return False
    texts = [_is_text(file) for file in _first_files(root)]
    return sum(texts) * 2 > len(texts)


def folders_hold_others(root: Path) -> bool:
    """Whether most of the first files in the folders below `root` are neither texts nor tables."""
    others = [not _is_text(file) and suffix_of(file) not in SUFFIXES for file in _first_files(root)]
    return sum(others) * 2 > len(others)


def _first_files(root: Path) -> Iterator[Path]:
    """A few files of a few classes."""
    folders = [folder for classes in _parts(root)[0].values() for folder in classes]
    for folder in folders[:: max(len(folders) // FOLDERS_LOOKED_AT, 1)]:
        yield from islice(_files_below(folder), FILES_LOOKED_AT)


def read_class_folders(root: Path) -> Found[RawTexts]:
    """The texts of `root/CLASS/FILE`, or `root/PART/CLASS/FILE`, at any depth in a class folder.

    Args:
        root: The folder.

    Raises:
        VitError: There are no class folders, or no text in them.
    """
    parts, notes = _parts(root)
    texts: dict[str, list[tuple[str, str, str]]] = {}
    skipped: Skipped = []
    for part, folders in parts.items():
        texts[part] = []
        for folder in folders:
            before = len(texts[part])
            for file in _files_below(folder):
                name = file.relative_to(root).as_posix()
                try:
                    texts[part].append((_read(file), folder.name, name))
                except VitError as error:
                    skipped.append((name, str(error)))
            if len(texts[part]) == before:
                notes.append(f"{folder.relative_to(root).as_posix()} has no text that can be read")
    labels = sorted({label for found in texts.values() for _, label, _ in found})
    if not labels:
        raise VitError(f"{root} has no folders of texts, expected a folder of .txt files for each class")
    raw = {
        part: RawTexts(
            [text for text, _, _ in found],
            label_targets([label for _, label, _ in found], labels, several=False),
            [name for _, _, name in found],
        )
        for part, found in texts.items()
    }
    return Found(raw, labels, skipped, notes, named_by_path=True)


def _parts(root: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Part -> its class folders, and what is left aside."""
    folders = _folders(root)
    found = find_parts(folders)
    inner = {
        part: [path for folder in members for path in _folders(folder)]
        for part, members in found.paths.items()
    }
    if not inner or not all(inner.values()):
        return {"all": folders}, _loose_files(root, root)
    notes = [*left_aside(folders, found), *_loose_files(root, root)]
    parts: dict[str, list[Path]] = {}
    for part, classes in inner.items():
        parts[part] = [path for path in classes if path.name.lower() not in UNLABELLED]
        unlabelled = [path for path in classes if path not in parts[part]]
        notes += [
            f"{path.relative_to(root).as_posix()} is left aside: its texts have no labels"
            for path in unlabelled
        ]
        for folder in found.paths[part]:
            notes += _loose_files(folder, root)
    return parts, notes


def _loose_files(folder: Path, root: Path) -> list[str]:
    """A note about the files that are in no class folder."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    where = f" of {folder.relative_to(root).as_posix()}" if folder != root else ""
    are = "are" if len(names) > 1 else "is"
    return [f"{', '.join(names[:3])}{more}{where} {are} left aside: in no class folder"]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth, sorted, without hidden ones."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path)
        else:
            yield path


def _is_text(file: Path) -> bool:
    if file.suffix.lower() in TEXT_SUFFIXES[1:]:
        return True
    if _has_suffix(file):
        return False
    try:
        with file.open("rb") as stream:
            start = stream.read(SNIFFED)
    except OSError:
        return False
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    return printable == len(start)


def _has_suffix(file: Path) -> bool:
    """Whether there is one besides those of texts; numbers are none."""
    return file.suffix.lower() not in TEXT_SUFFIXES and not file.suffix[1:].isdigit()


def _read(file: Path) -> str:
    """The text of a file.

    Raises:
        VitError: It is none, it is empty, or it cannot be read.
    """
    if _has_suffix(file):
        raise VitError(f"is no text: it ends in {file.suffix}, expected .txt, or no suffix")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise VitError(f"cannot be read: {error.strerror}") from None
    if raw[:2] in UTF16:
        try:
            text = raw.decode("utf-16")
        except UnicodeDecodeError:
            raise VitError("is not UTF-16, as its first bytes say") from None
    else:
        text = decoded(raw.removeprefix(BOM))
    if not text.strip():
        raise VitError("has no text")
    return text
