"""Texts without labels, for language models: every line of text files, and every row of tables."""

from pathlib import Path

import torch

from vit.data.found import Found, ReadOptions, Skipped
from vit.data.listing.parts import part_name
from vit.data.listing.table_files import has_rows
from vit.data.tables.records import read_records
from vit.data.tables.table_file import ACCEPTED, SUFFIXES, suffix_of
from vit.data.texts import RawTexts
from vit.errors import VitError


def read_lines(root: Path, options: ReadOptions) -> Found[RawTexts]:
    """All texts below a path. A line of .txt is a text, and so is a row of a table; empty ones are no texts.

    Args:
        root: A file (`vit.data.tables.table_file.SUFFIXES`), or a folder with such files at any depth. Files
            that are named `train`, `val` or `test`, or lie in a folder of such a name, are parts.
        options: `input_column` names the column with the texts.

    Returns:
        No labels: each target is 0.

    Raises:
        VitError: There is no such file, one cannot be read, a table has no column of texts, or no text.
    """
    files = _files(root)
    if not files:
        raise VitError(f"{root} has no file of texts, expected some with the suffix {ACCEPTED}")
    parts, notes = _parts(root, files)
    skipped: Skipped = []
    found = {part: _read(root, members, options, skipped) for part, members in parts.items()}
    if not any(len(texts) for texts in found.values()):
        raise VitError(f"{root} has no text" + (f": {' '.join(skipped[0])}" if skipped else ""))
    return Found(found, [], skipped, notes)


def _files(root: Path) -> list[Path]:
    """The file itself, or the files of rows below a folder, sorted, without hidden ones."""
    if root.is_file():
        return [root]
    files = (path for path in sorted(root.rglob("*")) if suffix_of(path) in SUFFIXES and path.is_file())
    return [file for file in files if _is_shown(file.relative_to(root)) and has_rows(file)]


def _is_shown(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def _parts(root: Path, files: list[Path]) -> tuple[dict[str, list[Path]], list[str]]:
    """Part -> its files, `all` where no name tells one; and what is left aside."""
    parts: dict[str, list[Path]] = {}
    unnamed = []
    for file in files:
        part = None if file == root else _part(file.relative_to(root))
        if part is None:
            unnamed.append(file)
        else:
            parts.setdefault(part, []).append(file)
    if not parts:
        return {"all": files}, []
    reason = "it is not named train, val or test"
    return parts, [f"{file.relative_to(root).as_posix()} is left aside: {reason}" for file in unnamed]


def _part(path: Path) -> str | None:
    """What the name of a file says, else that of the nearest folder."""
    for name in (path, *path.parents):
        found = part_name(name)
        if found is not None and not found.rest:  # not `train_old`
            return found.part
    return None


def _read(root: Path, files: list[Path], options: ReadOptions, skipped: Skipped) -> RawTexts:
    """The texts of files; rows that cannot be read are added to `skipped`."""
    texts, names = [], []
    for file in files:
        prefix = file.name if file == root else file.relative_to(root).as_posix()
        for record in read_records(file, prefix, column=options.input_column):
            if record.status == "ok":
                texts.append(record.text)
                names.append(record.name)
            elif record.status != "empty":
                skipped.append((record.name, record.error))
    return RawTexts(texts, torch.zeros(len(texts), dtype=torch.int64), names)
