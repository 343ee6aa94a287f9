"""What was written is read again and compared, before it gets its name."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vit.errors import VitError
from vit.export.verify import COUNTS, TOLERANCE

CONFIG, WEIGHTS, ENDING = "config.json", "model.safetensors", ".safetensors"
KINDS = {".json", ".safetensors", ".md", ""}  # of the files of an export, and its folders
FORMAT = {"format": "pt"}  # in the metadata of the weights: what transformers asks for


def require_equal(
    library: str,
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    make: Callable[[int], tuple[Tensor, ...]],
) -> float:
    """The largest difference of results at batches of `COUNTS` inputs.

    Args:
        library: For the message.
        ours: Inputs -> result.
        theirs: Likewise, of the files.
        make: Number of inputs -> inputs.

    Raises:
        VitError: They differ by more than `TOLERANCE`, relative where they are above 1.
    """
    largest = 0.0
    for count in COUNTS:
        inputs = make(count)
        with torch.no_grad():
            expected, found = ours(*inputs), theirs(*inputs)
        if expected.shape != found.shape:
            raise VitError(
                f"{library} gives {tuple(found.shape)} for {count} inputs, and the model "
                f"{tuple(expected.shape)}: nothing was written"
            )
        difference = float((expected - found).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):  # NaN too
            raise VitError(
                f"{library} differs by {difference:.2g} from the model for {count} inputs, expected at most "
                f"{TOLERANCE:g}: nothing was written"
            )
        largest = max(largest, difference)
    return largest


@contextmanager
def staged(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new folder beside `path`, which is renamed to it when the `with` block ends without an error.

    Where `path` is that of a file, `NAME.safetensors`, the weights in the folder become it. After an error
    nothing is left of the folder, and `path` is as it was.

    Raises:
        VitError: There is something at `path`, or it may not be written to.
    """
    require_free(path, overwrite=overwrite)
    beside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
        if path.is_dir():
            shutil.rmtree(path)  # an empty folder, or an earlier export: the new one is whole
        os.replace(beside / WEIGHTS if path.suffix == ENDING else beside, path)
    except OSError as error:
        raise VitError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to write over what is there, unless it is an earlier export.

    Raises:
        VitError: With the way out.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise VitError(f"{path} exists: write to another path, or say --overwrite")
    if not (path.is_file() and path.suffix == ENDING) and not is_export(path):
        raise VitError(
            f"{path} is no folder of an export, and nothing in it is replaced: write to another path"
        )


def is_export(path: Path) -> bool:
    """Whether a folder was written here, and holds nothing of another kind than the files of a model."""
    file = path / WEIGHTS
    if not file.is_file() or {each.suffix for each in path.iterdir()} - KINDS:
        return False
    try:
        with safe_open(str(file), "pt") as opened:
            return CONFIG in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


def same_tensors(first: Any, second: Any) -> list[str]:
    """Names of tensors of two towers that are not the same, bit by bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    return [
        name
        for name in ours | theirs
        if name not in ours or name not in theirs or not torch.equal(ours[name], theirs[name])
    ]
