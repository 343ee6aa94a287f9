"""Labelled images, in memory or on disk, with one interface: a list of indices gives a batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from vit.cores import available_cores
from vit.data.decode import DecodeError
from vit.data.found import Examples
from vit.data.preprocess import Preprocess
from vit.errors import VitError

# uint8 (B, C, height, width), int64 targets (B,), int64 indices (B,)
Batch = tuple[Tensor, Tensor, Tensor]


class Images(Examples, Protocol):
    """Labelled images of one size. `TensorImages` and `FileImages` implement it.

    Attributes:
        size: Height and width in pixels.
        channels: 1 or 3.
    """

    size: tuple[int, int]
    channels: int

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """The images at `indices`, their classes, and the indices themselves as a tensor."""
        ...


class TensorImages:
    """Images held in memory.

    Args:
        pixels: uint8 (n, C, height, width).
        targets: int64 (n,); with several labels float32 (n, classes).
        names: n strings.
        digests: n hashes of the files; empty for a dataset that never changes.

    Raises:
        VitError: Wrong type or shape, or they have different lengths.
    """

    def __init__(self, pixels: Tensor, targets: Tensor, names: Sequence[str], digests: Sequence[str] = ()):
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            actual = f"{pixels.dtype} {tuple(pixels.shape)}"
            raise VitError(f"pixels are {actual}, expected torch.uint8 (n, C, height, width)")
        _same_length(len(pixels), targets, names, digests)
        self.pixels, self.targets, self.names = pixels, _as_targets(targets), list(names)
        self.digests = list(digests)
        self.size = (pixels.shape[2], pixels.shape[3])
        self.channels = pixels.shape[1]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        indices = torch.as_tensor(indices, dtype=torch.int64)
        return self.pixels[indices], self.targets[indices], indices

    def subset(self, indices: list[int] | Tensor) -> "TensorImages":
        """The images at `indices`, copied, numbered from 0."""
        pixels, targets, indices = self[indices]
        return TensorImages(pixels, targets, at(self.names, indices), at(self.digests, indices))

    def joined(self, other: "TensorImages") -> "TensorImages":
        """These images, followed by the others."""
        return TensorImages(
            torch.cat([self.pixels, other.pixels]),
            torch.cat([self.targets, other.targets]),
            self.names + other.names,
            self.digests + other.digests,
        )


class FileImages:
    """Images decoded for each batch, by threads. Holds paths only, so it pickles.

    Args:
        paths: n files.
        targets: int64 (n,); with several labels float32 (n, classes).
        names: n strings.
        preprocess: Resizes each image.
        digests: n hashes of the files.

    Raises:
        VitError: They have different lengths.
        DecodeError: Raised by `[]`: a file cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Tensor,
        names: Sequence[str],
        preprocess: Preprocess,
        digests: Sequence[str] = (),
    ):
        _same_length(len(paths), targets, names, digests)
        self.paths, self.targets, self.names = list(paths), _as_targets(targets), list(names)
        self.preprocess, self.digests = preprocess, list(digests)
        self.size = (preprocess.height, preprocess.width)
        self.channels = preprocess.channels

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        indices = torch.as_tensor(indices, dtype=torch.int64)
        pixels = torch.empty(len(indices), self.channels, *self.size, dtype=torch.uint8)
        for row, image in enumerate(
            decode_images([self.paths[i] for i in indices.tolist()], self.preprocess)
        ):
            if isinstance(image, DecodeError):
                raise image
            pixels[row] = image
        return pixels, self.targets[indices], indices

    def subset(self, indices: list[int] | Tensor) -> "FileImages":
        """The images at `indices`, numbered from 0; nothing is decoded."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        paths, names, digests = (at(items, indices) for items in (self.paths, self.names, self.digests))
        return FileImages(paths, self.targets[indices], names, self.preprocess, digests)

    def joined(self, other: "FileImages") -> "FileImages":
        """These images, followed by the others, which have the same size."""
        return FileImages(
            self.paths + other.paths,
            torch.cat([self.targets, other.targets]),
            self.names + other.names,
            self.preprocess,
            self.digests + other.digests,
        )


def decode_images(sources: Sequence[Path | bytes], preprocess: Preprocess) -> Iterator[Tensor | DecodeError]:
    """Decode files, in order: uint8 (C, height, width) each, or the error that says why it cannot be read.

    Threads, not processes, because Pillow decodes and resizes without the interpreter's lock. They end with
    the call: no pool is left to pickle or to fork. Small files are decoded by the caller: their time is spent
    in the interpreter, where threads would only wait for each other. Results wait in memory until they are
    taken: the caller gives a bounded number of files.
    """

    def attempt(source: Path | bytes) -> Tensor | DecodeError:
        try:
            return preprocess.pixels(source)
        except DecodeError as error:
            return error

    if all(_file_size(source) < 16_384 for source in sources[:64]):
        yield from map(attempt, sources)
        return
    with ThreadPoolExecutor(min(16, available_cores())) as pool:
        yield from pool.map(attempt, sources)


def resize_images(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Resize images in memory as files would be, their channels kept.

    uint8 (n, C, old height, old width) -> (n, C, height, width).
    """
    if tuple(pixels.shape[2:]) == (preprocess.height, preprocess.width) and preprocess.crop == 1:
        return pixels
    channels = pixels.shape[1]
    preprocess = replace(preprocess, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    arrays = pixels.permute(0, 2, 3, 1).numpy()
    images = (Image.fromarray(array[:, :, 0] if channels == 1 else array) for array in arrays)
    return torch.stack([preprocess.pixels(image) for image in images])


def check_memory(root: Path, n: int, size: tuple[int, int], memory_gb: float) -> None:
    """Refuse n RGB images of `size` that need more than `memory_gb` GB.

    Raises:
        VitError: They need more.
    """
    needed = n * 3 * size[0] * size[1] / 1e9
    if needed > memory_gb:
        images = f"{n:,} pictures of {size[0]} x {size[1]} in {root}"
        raise VitError(
            f"{images} need {needed:.1f} GB, data.memory_gb is {memory_gb}; raise it or give a smaller "
            "data.image_size"
        )


def statistics(images: Images, limit: int = 10_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0..1, over at most `limit` images.

    The images are spaced evenly over the set. The deviation is at least 1e-3, so that a constant channel is
    not divided by zero.

    Raises:
        VitError: There are no images.
    """
    if not len(images):
        raise VitError("statistics of 0 pictures: give a training set that is not empty")
    count = min(limit, len(images))
    total, squares = (torch.zeros(images.channels, dtype=torch.float64) for _ in range(2))
    for indices in evenly_spaced(len(images), count).split(256):
        pixels = images[indices][0].to(torch.float32)  # (B, C, height, width)
        values = pixels.transpose(0, 1).flatten(1).div_(255).double()  # (C, B * height * width)
        total += values.sum(1)
        squares += values.square().sum(1)
    per_channel = count * images.size[0] * images.size[1]
    mean = total / per_channel
    std = (squares / per_channel - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return tuple(mean.tolist()), tuple(std.tolist())


def evenly_spaced(n: int, count: int) -> Tensor:
    """`count` of the indices 0 to n - 1, evenly spaced, or all of them if n is smaller. int64, ascending."""
    count = min(n, count)
    return torch.arange(count) * n // max(count, 1)


def _file_size(source: Path | bytes) -> int:
    try:
        return len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError:
        return 0  # decoding reports the error


def at(items: Sequence[Any], indices: Tensor) -> list[Any]:
    """The items at `indices`; of an empty sequence, none."""
    return [items[i] for i in indices.tolist()] if items else []


def _as_targets(targets: Tensor) -> Tensor:
    return targets.to(torch.int64 if targets.ndim == 1 else torch.float32)


def _same_length(n: int, targets: Tensor, names: Sequence[str], digests: Sequence[str]) -> None:
    if len(targets) != n or targets.ndim > 2 or len(names) != n or len(digests) not in (0, n):
        actual = f"{n} pictures, targets of shape {tuple(targets.shape)}, {len(names)} names"
        raise VitError(f"found {actual} and {len(digests)} digests, expected one of each per picture")
