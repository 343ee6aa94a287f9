"""From files to batches: decoding runs ahead of the model on threads, and every file keeps its place."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from vit.data import DecodeError, Preprocess, levels
from vit.inference.files import Entry


class Picture(NamedTuple):
    """One input file, decoded or not.

    Args:
        entry: The file.
        status: `ok`, or why it could not be decoded (`vit.data.decode.STATUSES`).
        error: One line, empty where the status is `ok`.
        window: What the model sees of it; None where it could not be decoded.
        pixels: uint8, (C, height, width); zeros where it could not be decoded.
    """

    entry: Entry
    status: str
    error: str
    window: Image.Image | None
    pixels: Tensor


def read_batches(
    entries: Iterable[Entry], preprocess: Preprocess, batch_size: int, *, threads: int
) -> Iterator[list[Picture]]:
    """Decode ahead and yield the pictures in order, `batch_size` at a time.

    A file that cannot be decoded keeps its place in the batch, so its neighbours' results do not shift.

    Args:
        entries: The files.
        preprocess: The model's.
        batch_size: Files per batch; the last batch may be shorter.
        threads: Number of decoding threads.
    """
    entries = iter(entries)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Picture]] = deque(
            pool.submit(_read, entry, preprocess) for entry in islice(entries, 2 * batch_size)
        )
        batch: list[Picture] = []
        while ahead:
            batch.append(ahead.popleft().result())
            ahead.extend(pool.submit(_read, entry, preprocess) for entry in islice(entries, 1))
            if len(batch) == batch_size or not ahead:
                yield batch
                batch = []


def _read(entry: Entry, preprocess: Preprocess) -> Picture:
    try:
        window = preprocess.read(entry.path)
    except DecodeError as error:
        empty = torch.zeros(preprocess.channels, preprocess.height, preprocess.width, dtype=torch.uint8)
        return Picture(entry, error.status, " ".join(str(error).split()), None, empty)
    return Picture(entry, "ok", "", window, levels(window))
