"""Paths of drawings: below the output folder, unique, and short enough for a file system."""

import os
from hashlib import sha256
from pathlib import Path, PurePath

MAX_NAME_BYTES = 255  # of a file


def drawing_path(name: str, suffix: str, *, reserved: str) -> Path:
    """The path of an input's drawing, relative to the output folder; `..` and the root become folders.

    Args:
        name: The input's, as in its row.
        suffix: Of the drawing: `.png`.
        reserved: A file in the output folder that is no drawing.
    """
    parts = [{"..": "_up", "/": "_root"}.get(part, part) for part in PurePath(name).parts]
    # A folder x.png may be beside an input x, whose overlay is x.png.
    folders = [_with_digest(part) if part.endswith((".png", ".html")) else part for part in parts[:-1]]
    path = Path(*folders, _file_name(parts[-1], suffix))
    if path == Path(reserved):
        return Path(f"_{reserved}")
    return Path(_with_digest(parts[-1], suffix)) if path == Path(f"_{reserved}") else path


def _file_name(name: str, suffix: str) -> str:
    """The name with its suffix; too long for a file system, cut, with a digest in place of the rest."""
    fits = len(os.fsencode(name + suffix)) <= MAX_NAME_BYTES
    return name + suffix if fits else _with_digest(name, suffix)


def _with_digest(name: str, suffix: str = "") -> str:
    digest = sha256(os.fsencode(name)).hexdigest()[:12]
    kept = os.fsencode(name)[: MAX_NAME_BYTES - len(digest) - len(suffix) - 1].decode(errors="ignore")
    return f"{kept}~{digest}{suffix}"
