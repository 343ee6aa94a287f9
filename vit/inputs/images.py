"""From files to batches: decoded beside each other, and every file keeps its place."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import DecodeError
from vit.data.preprocess import levels
from vit.inputs.decoding import Decoder
from vit.inputs.files import Entry


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

    @property
    def name(self) -> str:
        """What its row is called."""
        return self.entry.name


def read_batches(
    entries: Iterable[Entry], decoding: Decoder, batch_size: int, *, device: torch.device
) -> Iterator[list[Picture]]:
    """Decode on all cores and yield the pictures in order, `batch_size` at a time.

    For a model on another device the next batches are decoded while it works. A model on the CPU has the
    cores to itself, and decoding has them between its batches: both use all of them, and a
    matrix product is as slow as the thread whose core was decoding.

    A file that cannot be decoded keeps its place in the batch, so its neighbours' results do not shift.

    Args:
        entries: The files.
        decoding: What decodes them.
        batch_size: Files per batch; the last batch may be shorter.
        device: Where the model is.
    """
    entries = iter(entries)
    at_once = 1 if device.type == "cpu" else 3  # batches
    waiting: deque[list[tuple[Entry, Future[np.ndarray]]]] = deque()
    while True:
        while len(waiting) < at_once:
            batch = [(entry, decoding.submit(entry)) for entry in islice(entries, batch_size)]
            if not batch:
                break
            waiting.append(batch)
        if not waiting:
            return
        yield [_picture(decoding, entry, future) for entry, future in waiting.popleft()]


def _picture(decoding: Decoder, entry: Entry, future: Future[np.ndarray]) -> Picture:
    try:
        window = Image.fromarray(decoding.result(entry, future))
    except DecodeError as error:
        preprocess = decoding.preprocess
        empty = torch.zeros(preprocess.channels, preprocess.height, preprocess.width, dtype=torch.uint8)
        return Picture(entry, error.status, " ".join(str(error).split()), None, empty)
    return Picture(entry, "ok", "", window, levels(window))
