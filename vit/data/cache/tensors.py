"""Tensors on disk that would take long to compute again. Every failure means: compute.

    $VIT_CACHE/KIND/KEY.safetensors    tensors, and a checksum of them all

The default of `VIT_CACHE` is `~/.cache/vit`, on Windows `%LOCALAPPDATA%/vit`. `VIT_CACHE_GB` limits the size.
"""

import os
import shutil
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from vit.atomic import replacing
from vit.errors import UsageError, VitError

LIMIT_GB = 10.0
LOCK_TIMEOUT = 60.0  # seconds that a process waits for another one to write


def load(kind: str, key: str) -> dict[str, Tensor] | None:
    """The tensors that `store` wrote under the key; None: there are none, or the file is damaged.

    They are mapped from the file, not read; a file that is removed later stays readable.
    """
    from safetensors import SafetensorError, safe_open

    if (file := _file(kind, key)) is None:
        return None
    try:
        with safe_open(file, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
            checksum = (stored.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    with suppress(OSError):  # a cache that is read only serves too
        os.utime(file)  # the file used longest ago is removed first
    return tensors if checksum == _checksum(tensors) else None


def store(kind: str, key: str, tensors: dict[str, Tensor]) -> None:
    """Keep tensors under a key, where the folder may be written to and has room.

    Args:
        kind: The folder below `$VIT_CACHE`.
        key: A hash of all that the tensors depend on.
        tensors: On the CPU, contiguous.

    Raises:
        UsageError: `VIT_CACHE_GB` is not a number.
    """
    from safetensors.torch import save_file

    limit = _limit()
    if (file := _file(kind, key)) is None:
        return
    root = file.parents[1]
    with suppress(OSError, VitError, Timeout, NotImplementedError):  # NotImplementedError: no locks here
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "lock", timeout=LOCK_TIMEOUT):
            if _make_room(root, sum(tensor.nbytes for tensor in tensors.values()), limit):
                with replacing(file) as temporary:
                    save_file(tensors, temporary, {"sha256": _checksum(tensors)})


def _file(kind: str, key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / kind / f"{key}.safetensors"


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
    for temporary in folder.glob("*/*.tmp"):
        temporary.unlink(missing_ok=True)
    states = sorted(
        (file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob("*/*.safetensors")
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
