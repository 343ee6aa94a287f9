"""What stands in the place of a large file in a git repository until it is fetched."""

from pathlib import Path

from vit.errors import VitError

POINTER = b"version https://git-lfs"


def refuse_pointer(file: Path) -> None:
    """Refuse a file of Git LFS that has not been fetched.

    Raises:
        VitError: It is one.
    """
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise VitError(f"{file} is a Git LFS pointer: git lfs pull fetches the weights")
