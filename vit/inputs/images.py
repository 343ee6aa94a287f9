"""From image files to batches of pixels, decoded in parallel.

A file that cannot be decoded keeps its place in the batch, so that the results of the others do not shift.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import DecodeError, Source
from vit.data.preprocess import Preprocess
from vit.errors import one_line_message
from vit.inputs.decoding import DEFAULT_LIMITS, Content, Decoder, Limits, decoder
from vit.inputs.files import Entry
from vit.inputs.shown import Shown

BATCHES_AHEAD = 2  # that are decoded while a model on an accelerator computes


class DecodedImage(NamedTuple):
    """One image, decoded or not.

    Args:
        entry: The file; of an image that was in memory, its name and no content.
        status: `ok`, or why it could not be decoded (`vit.data.decode.STATUSES`).
        error: One line, empty if the status is `ok`.
        pixels: uint8 (C, height, width), what the model sees; zeros where it could not be decoded.
        shown: The whole picture for display; None where it was not asked for, or could not be decoded.
    """

    entry: Entry | Content
    status: str
    error: str
    pixels: Tensor
    shown: Shown | None = None

    @property
    def name(self) -> str:
        """The path in its row."""
        return self.entry.name


class ImageReader:
    """Decodes files to batches; a context manager, which owns the decoding processes.

    Args:
        preprocess: The model's.
        batch_size: Images per batch; the last one of `batches` may be smaller.
        device: The model's. For one on an accelerator the next batches are decoded while it computes. A
            model on the CPU takes turns with decoding: each uses all cores, and a matrix product is as slow
            as the thread whose core is busy with a decoder.
        limits: Limits for the decoding of each file.
        shown: Longest side in pixels of the whole pictures that come with the files; None: without them.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        batch_size: int,
        *,
        device: torch.device,
        limits: Limits = DEFAULT_LIMITS,
        shown: int | None = None,
    ):
        self.shown = shown
        self.preprocess, self.batch_size, self.device, self.limits = preprocess, batch_size, device, limits
        self._exit_stack = ExitStack()

    def __enter__(self) -> Self:
        self._decoder = self._exit_stack.enter_context(decoder(self.preprocess, self.limits))
        return self

    def __exit__(self, *error: object) -> None:
        self._exit_stack.close()

    def batches(self, inputs: Iterable[Iterable[Any]]) -> Iterator[list[DecodedImage]]:
        """The images in order, `batch_size` at a time.

        Args:
            inputs: The fields of each `Entry`, possibly as JSON types.
        """
        return self.read(Entry.from_fields(*fields) for fields in inputs)

    def read(self, entries: Iterable[Entry | Content | DecodedImage]) -> Iterator[list[DecodedImage]]:
        """The images in order, `batch_size` at a time; entries are taken as they are needed.

        Args:
            entries: Files, and images that are decoded already, which keep their places among them.
        """
        entries = iter(entries)
        at_once = 1 if self.device.type == "cpu" else 1 + BATCHES_AHEAD
        waiting: deque[list[Callable[[], DecodedImage]]] = deque()
        while True:
            while len(waiting) < at_once:
                batch = [self._begin(entry) for entry in islice(entries, self.batch_size)]
                if not batch:
                    break
                waiting.append(batch)
            if not waiting:
                return
            yield [image() for image in waiting.popleft()]

    def _begin(self, entry: Entry | Content | DecodedImage) -> Callable[[], DecodedImage]:
        """Begin to decode a file; the function waits for it."""
        if isinstance(entry, DecodedImage):
            return lambda: entry
        if isinstance(entry, Entry) and entry.failure is not None:  # no process need be asked
            return partial(_failed, entry, DecodeError(entry.name, *entry.failure), self.preprocess)
        if self.shown is not None:
            return partial(shown_image, self._decoder, entry, self._decoder.submit_shown(entry, self.shown))
        return partial(decoded_image, self._decoder, entry, self._decoder.submit(entry))


def decoded_image(decoding: Decoder, entry: Entry | Content, future: Future[np.ndarray]) -> DecodedImage:
    """What `Decoder.submit` has begun, when it is done; one that cannot be decoded has its status."""
    try:
        pixels = torch.from_numpy(decoding.result(entry, future))
    except DecodeError as error:
        return _failed(entry, error, decoding.preprocess)
    return DecodedImage(entry, "ok", "", pixels)


def shown_image(
    decoding: Decoder, entry: Entry | Content, future: Future[tuple[np.ndarray, Shown]]
) -> DecodedImage:
    """The same of `Decoder.submit_shown`."""
    try:
        pixels, whole = decoding.result(entry, future)
    except DecodeError as error:
        return _failed(entry, error, decoding.preprocess)
    return DecodedImage(entry, "ok", "", torch.from_numpy(pixels), whole)


def image_in_memory(name: str, picture: Source, preprocess: Preprocess) -> DecodedImage:
    """A picture that was no file, preprocessed in this process: without limits of time and memory.

    Args:
        name: In its row.
        picture: As in `Preprocess.__call__`.
        preprocess: The model's.

    Raises:
        VitError: It is not a picture.
    """
    entry = Content(name, b"")
    try:
        return DecodedImage(entry, "ok", "", preprocess.pixels(picture))
    except DecodeError as error:
        return _failed(entry, DecodeError(name, error.status, error.detail), preprocess)


def _failed(entry: Entry | Content, error: DecodeError, preprocess: Preprocess) -> DecodedImage:
    blank = torch.zeros(preprocess.channels, preprocess.height, preprocess.width, dtype=torch.uint8)
    return DecodedImage(entry, error.status, one_line_message(error), blank)


def to_image(pixels: Tensor) -> Image.Image:
    """uint8 (C, height, width) -> an image in mode L (C = 1) or RGB (C = 3), for drawing."""
    return Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy())
