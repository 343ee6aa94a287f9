"""Files of drawings: below the output folder, with unique names that are short enough for a file system."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

MAX_NAME_BYTES = 255  # of a file
SUFFIXES = (".png", ".html", ".svg", ".pdf")  # of drawings


def save_drawing(
    folder: Path, name: str, suffix: str, write: Callable[[Path], Any], *, reserved: Sequence[str]
) -> str:
    """Write a drawing under its input's name, and return its path within the folder.

    Args:
        folder: The output folder.
        name: See `drawing_path`.
        suffix: Likewise.
        write: Gets the path.
        reserved: See `drawing_path`.
    """
    path = folder / drawing_path(name, suffix, reserved=reserved)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    return str(path.relative_to(folder))


def remove_drawings(folder: Path, row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Remove the files of a row that `columns` name, if they are in the folder."""
    for name in map(row.get, columns):
        if name and ".." not in PurePath(name).parts and not PurePath(name).is_absolute():
            (folder / name).unlink(missing_ok=True)


def thumbnails(files: Iterable[Path], side: int) -> list[Image.Image]:
    """Drawings in one scale, in which the largest has at most `side` pixels."""
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            pictures.append(picture.convert("RGB"))
    factor = side / max((max(picture.size) for picture in pictures), default=side)
    if factor >= 1:
        return pictures
    return [
        picture.resize([max(round(pixels * factor), 1) for pixels in picture.size], Image.Resampling.LANCZOS)
        for picture in pictures
    ]


def drawing_path(name: str, suffix: str, *, reserved: Sequence[str]) -> Path:
    """The path of an input's drawing, relative to the output folder; `..` and the root become folders.

    Args:
        name: The input's, as in its row.
        suffix: Of the drawing: `.png`.
        reserved: Files in the output folder that are no drawings.
    """
    parts = [{"..": "_up", "/": "_root"}.get(part, part) for part in PurePath(name).parts]
    # A folder x.png may be beside an input x, whose overlay is x.png.
    folders = [_with_digest(part) if part.endswith(SUFFIXES) else part for part in parts[:-1]]
    path = Path(*folders, _file_name(parts[-1], suffix))
    if str(path) in reserved:
        return Path(f"_{path}")
    return Path(_with_digest(parts[-1], suffix)) if str(path) in {f"_{file}" for file in reserved} else path


def _file_name(name: str, suffix: str) -> str:
    """The name with its suffix; too long for a file system, cut, with a digest in place of the rest."""
    fits = len(os.fsencode(name + suffix)) <= MAX_NAME_BYTES
    return name + suffix if fits else _with_digest(name, suffix)


def _with_digest(name: str, suffix: str = "") -> str:
    digest = sha256(os.fsencode(name)).hexdigest()[:12]
    kept = os.fsencode(name)[: MAX_NAME_BYTES - len(digest) - len(suffix) - 1].decode(errors="ignore")
    return f"{kept}~{digest}{suffix}"
