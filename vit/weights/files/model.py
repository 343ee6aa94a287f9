"""From a file of weights and the name of an architecture to a model."""

from pathlib import Path
from typing import Any

from vit.errors import VitError

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt", ".npz")


def model_from_file(file: Path, like: str | None) -> Any:
    """The model whose weights a file holds.

    Args:
        file: With one of `ENDINGS`.
        like: `timm:ARCHITECTURE`.

    Raises:
        VitError: The file or the architecture cannot be used.
    """
    raise VitError(f"{file} is a file of weights")
