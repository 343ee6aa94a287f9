"""A file of weights, or all files of a sharded one, as tensors with dotted names."""

import json
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vit.errors import VitError, one_line_message
from vit.weights.files.pickles import load_pickle

NPZ = ".npz"
INDEX = ".index.json"  # of a sharded file: which tensor is in which of its files
ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt", NPZ, ".json")

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.\w+)")


@dataclass(frozen=True)
class Content:
    """What a file of weights holds.

    Args:
        tensors: All tensors; the name joins the keys that lead to one with dots.
        arguments: The entry `args`, where a training script keeps its command line.
        arch: The entry `arch`, where a training script keeps the name of its architecture.
    """

    tensors: dict[str, Tensor]
    arguments: dict[str, Any]
    arch: str


def files_of(file: Path) -> list[Path]:
    """The files that hold the weights: the file itself, or all shards of which it is one or the index.

    Raises:
        VitError: There is no such file, or a shard is missing, or an index cannot be read.
    """
    if not file.is_file():
        raise VitError(f"there is no file {file}")
    shard = SHARD.fullmatch(file.name)
    if file.name.endswith(INDEX):
        names = _indexed(file)
    elif file.suffix == ".json":
        raise VitError(
            f"{file} is not a file of weights: expected one of {', '.join(ENDINGS[:-1])}, or *{INDEX}"
        )
    elif shard:
        stem, count, ending = shard["stem"], shard["count"], shard["ending"]
        names = [f"{stem}-{number:05}-of-{count}{ending}" for number in range(1, int(count) + 1)]
    else:
        return [file]
    missing = [name for name in names if not (file.parent / name).is_file()]
    if missing:
        raise VitError(
            f"{file} is one of {len(names)} files, and {', '.join(missing)} is missing: put all in one folder"
        )
    return [file.parent / name for name in names]


def read_content(files: list[Path]) -> Content:
    """The tensors of a file, or of all its shards.

    Raises:
        VitError: A file is damaged, or holds objects that are not read.
    """
    tensors: dict[str, Tensor] = {}
    loaded: Mapping[str, Any] = {}
    for file in files:
        if file.stat().st_size == 0:
            raise VitError(f"{file} is empty")
        loaded = _load_safetensors(file) if file.suffix == ".safetensors" else load_pickle(file)
        if not isinstance(loaded, Mapping):
            raise VitError(f"{file} holds a {type(loaded).__name__}, expected a dict of tensors")
        tensors.update(_flat(loaded, ""))
    if not tensors:
        raise VitError(f"{files[0]} holds no tensors")
    args = loaded.get("args")
    return Content(tensors, vars(args) if isinstance(args, Namespace) else {}, str(loaded.get("arch", "")))


def _indexed(file: Path) -> list[str]:
    """The names of the files in an index: `{"weight_map": {tensor: file}}`."""
    try:
        names = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VitError(f"{file} is no index of a sharded file: it has no weight_map") from None
    for name in names:
        if Path(name).name != name or Path(name).suffix not in ENDINGS:
            raise VitError(f"{file} names {name!r}, expected the name of a file of weights beside it")
    return names


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise VitError(f"{file} is damaged or cut short: {one_line_message(error)}") from None


def _flat(entries: Mapping[Any, Any], place: str) -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of nested dicts. Lists hold no weights: optimisers keep groups in them."""
    for key, value in entries.items():
        if isinstance(value, Tensor):
            yield f"{place}{key}", value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{place}{key}.")
