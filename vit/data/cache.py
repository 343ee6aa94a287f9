"""Decoded pictures on disk, so that a second start does not decode them again. Every failure means: decode.

    $VIT_CACHE/pixels/KEY.safetensors    pixels, positions, digests, failures, and a checksum of them all

The default of `VIT_CACHE` is `~/.cache/vit`, on Windows `%LOCALAPPDATA%/vit`. `VIT_CACHE_GB` limits the size.
"""

import functools
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from vit.atomic import replacing
from vit.data import decode, images, preprocess
from vit.errors import UsageError, VitError

FORMAT = 1  # of the files here
PACKAGES = ("pillow", "torch", "torchvision")  # whose versions may change a pixel
MODULES = (decode, images, preprocess)  # whose code may change one
LIMIT_GB = 10.0
LOCK_TIMEOUT = 60.0  # seconds that a process waits for another one to write


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


def load(key: str) -> Decoded | None:
    """The pictures that `store` wrote under the key; None: there are none, or the file is damaged.

    The pixels are mapped from the file, not read; a file that is removed later stays readable.
    """
    from safetensors import SafetensorError, safe_open

    if (file := _file(key)) is None:
        return None
    try:
        with safe_open(file, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
            checksum = (stored.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    with suppress(OSError):  # a cache that is read only serves too
        os.utime(file)  # the file used longest ago is removed first
    if checksum != _checksum(tensors):
        return None
    return Decoded(
        tensors["pixels"],
        tensors["positions"].tolist(),
        [row.tobytes().hex() for row in tensors["digests"].numpy()],
        [(position, reason) for position, reason in json.loads(tensors["failures"].numpy().tobytes())],
    )


def store(key: str, decoded: Decoded) -> None:
    """Keep pictures under a key, where the folder may be written to and has room.

    Raises:
        UsageError: `VIT_CACHE_GB` is not a number.
    """
    from safetensors.torch import save_file

    limit = _limit()
    if (file := _file(key)) is None:
        return
    tensors = {
        "pixels": decoded.pixels,
        "positions": torch.tensor(decoded.positions, dtype=torch.int64),
        "digests": _as_bytes(bytes.fromhex("".join(decoded.digests))).view(-1, 32),
        "failures": _as_bytes(json.dumps(decoded.failures).encode()),
    }
    with suppress(OSError, VitError, Timeout, NotImplementedError):  # NotImplementedError: no locks here
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.parent / "lock", timeout=LOCK_TIMEOUT):
            if _make_room(file.parent, sum(tensor.nbytes for tensor in tensors.values()), limit):
                with replacing(file) as temporary:
                    save_file(tensors, temporary, {"sha256": _checksum(tensors)})


def _file(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "pixels" / f"{key}.safetensors"


def cache_folder() -> Path | None:
    """`$VIT_CACHE`, or this platform's folder for caches; None: the user has no home."""
    if folder := os.environ.get("VIT_CACHE"):
        return Path(folder).expanduser()
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "vit"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "vit"
    return None


def _limit() -> float:
    """Largest size of the cache in bytes."""
    text = os.environ.get("VIT_CACHE_GB") or str(LIMIT_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise UsageError(f"VIT_CACHE_GB is {text!r}, expected a number of gigabytes, 0 or more")
    return gigabytes * 1e9


def _make_room(folder: Path, needed: int, limit: float) -> bool:
    """Remove files, those used longest ago first, until `needed` bytes more are within the limits.

    The second limit is half of what the disk has free, the files here counted as free. Called under the lock,
    so a temporary file is that of a process that was killed.

    Returns:
        Whether there is room.
    """
    for temporary in folder.glob("*.tmp"):
        temporary.unlink(missing_ok=True)
    states = sorted(
        (file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob("*.safetensors")
    )
    total = sum(size for _, size, _ in states)
    limit = min(limit, (shutil.disk_usage(folder).free + total) / 2)
    if needed > limit:
        return False
    for _, size, file in states:
        if total + needed <= limit:
            break
        with suppress(OSError):  # Windows removes no file that another process has mapped
            file.unlink()
            total -= size
    return total + needed <= limit


def _checksum(tensors: dict[str, Tensor]) -> str:
    checksum = sha256()
    for name in sorted(tensors):
        checksum.update(f"{name} {tuple(tensors[name].shape)}\0".encode())
        checksum.update(np.ascontiguousarray(tensors[name].numpy()).data)
    return checksum.hexdigest()


def _as_bytes(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())
