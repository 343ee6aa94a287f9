"""Labelled pictures, in memory or on disk, behind one face: ask for indices, get a batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import cpu_count
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import DecodeError
from vit.data.preprocess import Preprocess, levels
from vit.errors import VitError

# uint8 (B, C, height, width), int64 targets (B,), int64 indices (B,)
Batch = tuple[Tensor, Tensor, Tensor]
Skipped = list[tuple[str, str]]


class Images(Protocol):
    """Labelled pictures of one size. `TensorImages` and `FileImages` have this face.

    Attributes:
        targets: int64 (n,), the class of each picture.
        names: How to call each picture in a report.
        size: Height and width in pixels.
        channels: 1 or 3.
    """

    targets: Tensor
    names: list[str]
    size: tuple[int, int]
    channels: int

    def __len__(self) -> int: ...

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """The pictures at `indices`, their classes, and the indices themselves as a tensor."""
        ...

    def subset(self, indices: list[int] | Tensor) -> "Images":
        """The pictures at `indices` alone, numbered from 0."""
        ...


class TensorImages:
    """Pictures held in memory.

    Args:
        pixels: uint8 (n, C, height, width).
        targets: int64 (n,).
        names: n strings.

    Raises:
        VitError: Wrong type or shape, or the three have different lengths.
    """

    def __init__(self, pixels: Tensor, targets: Tensor, names: Sequence[str]):
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            found = f"{pixels.dtype} {tuple(pixels.shape)}"
            raise VitError(f"pixels are {found}, expected torch.uint8 (n, C, height, width)")
        _same_length(len(pixels), targets, names)
        self.pixels, self.targets, self.names = pixels, targets.to(torch.int64), list(names)
        self.size = (pixels.shape[2], pixels.shape[3])
        self.channels = pixels.shape[1]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        where = torch.as_tensor(indices, dtype=torch.int64)
        return self.pixels[where], self.targets[where], where

    def subset(self, indices: list[int] | Tensor) -> "TensorImages":
        """The pictures at `indices` alone, copied, numbered from 0."""
        pixels, targets, where = self[indices]
        return TensorImages(pixels, targets, [self.names[i] for i in where.tolist()])


class FileImages:
    """Pictures decoded when they are asked for, by threads. Holds paths only, so it pickles.

    Args:
        paths: n files.
        targets: int64 (n,).
        names: n strings.
        preprocess: Brings each picture to its size.

    Raises:
        VitError: The three have different lengths.
        DecodeError: From `[]`, where a file cannot be read.
    """

    def __init__(self, paths: Sequence[Path], targets: Tensor, names: Sequence[str], preprocess: Preprocess):
        _same_length(len(paths), targets, names)
        self.paths, self.targets, self.names = list(paths), targets.to(torch.int64), list(names)
        self.preprocess = preprocess
        self.size = (preprocess.height, preprocess.width)
        self.channels = preprocess.channels

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        where = torch.as_tensor(indices, dtype=torch.int64)
        pixels = torch.empty(len(where), self.channels, *self.size, dtype=torch.uint8)
        for row, found in enumerate(decoded([self.paths[i] for i in where.tolist()], self.preprocess)):
            if isinstance(found, DecodeError):
                raise found
            pixels[row] = found
        return pixels, self.targets[where], where

    def subset(self, indices: list[int] | Tensor) -> "FileImages":
        """The pictures at `indices` alone, numbered from 0; nothing is decoded."""
        where = torch.as_tensor(indices, dtype=torch.int64)
        paths, names = ([items[i] for i in where.tolist()] for items in (self.paths, self.names))
        return FileImages(paths, self.targets[where], names, self.preprocess)


def decoded(sources: Sequence[Path | bytes], preprocess: Preprocess) -> Iterator[Tensor | DecodeError]:
    """Each source, in order, as uint8 (C, height, width), or the error that says why it is none.

    By threads, not processes: Pillow decodes and resizes outside the interpreter's lock. They live as long as
    the call, so that nothing is left behind to pickle or to fork. Small files are all interpreter and no
    decoding, and threads would only wait for each other: the caller does those itself.
    """

    def attempt(source: Path | bytes) -> Tensor | DecodeError:
        try:
            return levels(preprocess.read(source))
        except DecodeError as error:
            return error

    if all(_file_size(source) < 16_384 for source in sources[:64]):
        yield from map(attempt, sources)
        return
    rest = iter(sources)
    with ThreadPoolExecutor(min(16, cpu_count() or 1)) as pool:
        while some := list(islice(rest, 1024)):  # bounded: results wait in memory until they are taken
            yield from pool.map(attempt, some)


def resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures in memory, uint8 (n, C, h, w), brought to (n, C, *size) as files would be."""
    if tuple(pixels.shape[2:]) == tuple(size):
        return pixels
    channels = pixels.shape[1]
    preprocess = Preprocess(*size, channels, (0.0,) * channels, (1.0,) * channels)
    arrays = pixels.permute(0, 2, 3, 1).numpy()
    pictures = (Image.fromarray(array[:, :, 0] if channels == 1 else array) for array in arrays)
    return torch.stack([preprocess.pixels(picture) for picture in pictures])


def check_memory(root: Path, n: int, size: tuple[int, int], memory_gb: float) -> None:
    """Refuse what would not fit: n RGB pictures of `size`, against `memory_gb` GB."""
    needed = n * 3 * size[0] * size[1] / 1e9
    if needed > memory_gb:
        found = f"{n:,} pictures of {size[0]} x {size[1]} in {root} need {needed:.1f} GB"
        raise VitError(f"{found}, data.memory_gb is {memory_gb}; raise it or give a smaller data.image_size")


def statistics(images: Images, limit: int = 10_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0..1, over at most `limit` pictures.

    The pictures are spread evenly over the set. The deviation is at least 1e-3, so that a channel that never
    changes does not divide by zero.

    Raises:
        VitError: There are no pictures.
    """
    if not len(images):
        raise VitError("statistics of 0 pictures: give a training set that is not empty")
    count = min(limit, len(images))
    total, squares = (torch.zeros(images.channels, dtype=torch.float64) for _ in range(2))
    for where in spread(len(images), count).split(256):
        levels = (
            images[where][0].to(torch.float32).transpose(0, 1).flatten(1).div_(255).double()
        )  # (C, pixels)
        total += levels.sum(1)
        squares += levels.square().sum(1)
    pixels = count * images.size[0] * images.size[1]
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return tuple(mean.tolist()), tuple(std.tolist())


def spread(n: int, count: int) -> Tensor:
    """`count` indices, evenly over `n`; all of them where there are not more. int64, rising."""
    count = min(n, count)
    return torch.arange(count) * n // max(count, 1)


def _file_size(source: Path | bytes) -> int:
    try:
        return len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError:
        return 0  # decoding will tell


def _same_length(n: int, targets: Tensor, names: Sequence[str]) -> None:
    if targets.shape != (n,) or len(names) != n:
        found = f"{n} pictures, targets of shape {tuple(targets.shape)} and {len(names)} names"
        raise VitError(f"found {found}, expected one target and one name per picture")
