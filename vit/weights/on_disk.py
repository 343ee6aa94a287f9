"""Files of weights on disk: their hash, and whether git has fetched them."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from vit.errors import VitError

POINTER = b"version https://git-lfs"  # of what stands in the place of a large file until it is fetched
CHUNK = 1 << 22  # bytes


def digest(files: Iterable[Path]) -> str:
    """SHA-256 in hexadecimal; of a model in several files, of these one after the other."""
    total = sha256()
    for file in files:
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                total.update(chunk)
    return total.hexdigest()


def refuse_pointer(file: Path) -> None:
    """Refuse a file of Git LFS that has not been fetched.

    Raises:
        VitError: It is one.
    """
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise VitError(f"{file} is a Git LFS pointer: git lfs pull fetches the weights")
