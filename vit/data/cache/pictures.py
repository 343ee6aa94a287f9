"""Decoded pictures, and their place in the cache, so that a second start does not decode them again."""

import functools
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vit.data import decode, images, preprocess
from vit.data.cache import tensors as cache

KIND = "pixels"  # the folder of the cache
FORMAT = 1  # of the files there
PACKAGES = ("pillow", "torch", "torchvision")  # whose versions may change a pixel
MODULES = (decode, images, preprocess)  # whose code may change one


@dataclass
class Decoded:
    """What decoding of a sequence of pictures gave.

    Args:
        pixels: uint8 (readable, C, height, width); of length 0 where they were not to be kept.
        positions: The readable ones among the pictures, ascending.
        digests: SHA-256 of each readable picture's file, in hexadecimal.
        failures: Position of each other picture, and why it cannot be read.
    """

    pixels: Tensor
    positions: list[int]
    digests: list[str]
    failures: list[tuple[int, str]]


def cache_key(files: Iterable[Path], *settings: object) -> str:
    """A hash of all that decoded pixels depend on; a file counts by path, size and the times of its change.

    Args:
        files: The files that are decoded, in order.
        settings: Preprocessing, and what else matters; their `repr` is taken.
    """
    versions = [metadata.version(package) for package in PACKAGES]
    key = sha256(repr((FORMAT, versions, _code(), settings)).encode())
    for file in files:
        try:
            state = os.stat(file)
        except OSError as error:  # decoding reports it
            facts: tuple[int | None, ...] = (error.errno,)
        else:
            facts = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        key.update(f"{os.path.abspath(file)}\0{facts}\0".encode(errors="surrogateescape"))
    return key.hexdigest()


@functools.cache
def _code() -> list[str]:
    """Hashes of the code that decodes, as it is when this process begins to read."""
    return [sha256(Path(str(module.__file__)).read_bytes()).hexdigest() for module in MODULES]


def load_decoded(key: str) -> Decoded | None:
    """The pictures that `store_decoded` wrote under the key; None: the cache has them not."""
    tensors = cache.load(KIND, key)
    if tensors is None:
        return None
    return Decoded(
        tensors["pixels"],
        tensors["positions"].tolist(),
        [row.tobytes().hex() for row in tensors["digests"].numpy()],
        [(position, reason) for position, reason in json.loads(tensors["failures"].numpy().tobytes())],
    )


def store_decoded(key: str, decoded: Decoded) -> None:
    """Keep pictures under a key. Errors are those of `vit.data.cache.tensors.store`."""
    tensors = {
        "pixels": decoded.pixels,
        "positions": torch.tensor(decoded.positions, dtype=torch.int64),
        "digests": _as_bytes(bytes.fromhex("".join(decoded.digests))).view(-1, 32),
        "failures": _as_bytes(json.dumps(decoded.failures).encode()),
    }
    cache.store(KIND, key, tensors)


def _as_bytes(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())
