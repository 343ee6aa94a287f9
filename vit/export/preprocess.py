"""Preprocessing as part of a graph: resize, crop and normalise of pictures of any size."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from vit.core import probabilities
from vit.data.preprocess import BORDER, Preprocess, match_channels
from vit.errors import UsageError, VitError
from vit.export.prepare import Prepared, Size

MODES = ("bilinear", "bicubic")  # of Pillow's filters, those that ONNX has with antialiasing
MOST_LEVELS = 1.0  # that the pixels of a picture may differ by from Pillow's, of 255, in the mean
FARTHER = (2.37, 1.61)  # times the model's height and width: a size that is resized, and not square

Length = Any  # int, or a symbol of torch while a graph is traced

# uint8 (B, height, width, 3) -> levels, float32 (B, C, height, width)
Pixels = Callable[[Tensor], Tensor]


class Preprocessing(nn.Module):
    """uint8 RGB pictures (B, height, width, 3), upright -> levels 0..255, float32 (B, C, height, width).

    Sizes are those of `Preprocess.window`, written so that they may be unknown while a graph is traced.

    Args:
        preprocess: The model's.

    Raises:
        VitError: It has a filter that a graph has not.
    """

    fill: Tensor

    def __init__(self, preprocess: Preprocess):
        super().__init__()
        if preprocess.interpolation not in MODES:
            raise VitError(
                f"--preprocess: the model resizes pictures with {preprocess.interpolation}, and a graph "
                f"has {' and '.join(MODES)}: leave it out"
            )
        self.preprocess = preprocess
        fill = preprocess.fill or (BORDER,) * preprocess.channels
        self.register_buffer("fill", torch.tensor(fill).float()[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 (B, height, width, 3) -> (B, C, height, width)."""
        size = self._resized(pictures.shape[1], pictures.shape[2])
        pixels = match_channels(pictures.permute(0, 3, 1, 2), self.preprocess.channels).float()
        across = self._interpolated(pixels, (pictures.shape[1], size[1]))
        whole = self._interpolated(
            across, size
        )  # Pillow rounds between the axes too, in this order or the other
        rows, is_row = self._kept(size[0], self.preprocess.height)
        cols, is_col = self._kept(size[1], self.preprocess.width)
        part = whole.index_select(2, rows).index_select(3, cols)
        return torch.where(is_row[:, None] & is_col, part, self.fill)

    def _interpolated(self, pixels: Tensor, size: tuple[Length, Length]) -> Tensor:
        """Levels (B, C, height, width) -> levels of another size."""
        mode = self.preprocess.interpolation
        return nn.functional.interpolate(pixels, size, mode=mode, antialias=True).round().clamp(0, 255)

    def _resized(self, height: Length, width: Length) -> tuple[Length, Length]:
        """Height and width of the whole picture once it is resized."""
        preprocess = self.preprocess
        rows, cols = (int(side / preprocess.crop) for side in (preprocess.height, preprocess.width))
        if preprocess.resize == "squash":
            return rows, cols
        if preprocess.resize == "pad":
            fitted = torch.sym_min(rows, rounded(height * cols, width))
            return torch.sym_max(fitted, 1), torch.sym_max(
                torch.sym_min(cols, rounded(width * rows, height)), 1
            )
        if preprocess.follows == "timm" and rows != cols:
            return (
                torch.sym_max(rows, rounded(height * cols, width)),
                torch.sym_max(cols, rounded(width * rows, height)),
            )
        return torch.sym_max(rows, cols * height // width), torch.sym_max(cols, rows * width // height)

    def _kept(self, resized: Length, side: int) -> tuple[Tensor, Tensor]:
        """Along one axis: the pixel of the resized picture at each place, int64 (side,), and where one is."""
        rest = torch.sym_max(resized - side, 0)
        before = rest // 2 if self.preprocess.follows == "transformers" else rounded(rest, 2)
        border = torch.sym_max(side - resized, 0) // 2
        index = torch.arange(side) + (before - border)
        last = torch.scalar_tensor(resized - 1, dtype=torch.int64)
        return index.clamp(min=0).minimum(last), (index >= 0) & (index < resized)


class Pictured(nn.Module):
    """uint8 RGB pictures (B, height, width, 3) -> the labels' scores (B, classes).

    Args:
        model: An image tower with `preprocess`; without labels its features are the result.
        images: The module from normalised images to logits.
    """

    def __init__(self, model: Any, images: nn.Module):
        super().__init__()
        self.preprocessing = Preprocessing(model.preprocess)
        self.scoring = Scoring(model, images)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, height, width, 3) -> (B, classes)."""
        return self.scoring(self.preprocessing(pictures))


class Scoring(nn.Module):
    """Levels 0..255, float32 (B, C, height, width) -> the labels' scores (B, classes).

    Args:
        model: As in `Pictured`.
        images: See there.
    """

    def __init__(self, model: Any, images: nn.Module):
        super().__init__()
        self.model, self.images = model, images

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, height, width) -> (B, classes)."""
        values = self.images(self.model.preprocess.normalise(pixels))
        return values if isinstance(self.model.head, nn.Identity) else probabilities(self.model, values)


class Levels(NamedTuple):
    """How far the pixels of a graph are from those of Pillow, in levels of 255.

    Args:
        largest: Of all pixels.
        mean: Of all pixels of all pictures.
        pictures: Their number.
    """

    largest: int
    mean: float
    pictures: int


def rounded(numerator: Length, denominator: Length) -> Length:
    """The quotient of two positive numbers, rounded, halves to the even one, as Python's `round`."""
    whole, rest = (2 * numerator + denominator) // (2 * denominator), 2 * numerator + denominator
    is_half = 1 - torch.sym_min(1, rest % (2 * denominator))
    return whole - is_half * (whole % 2)


def with_preprocessing(prepared: Prepared) -> Prepared:
    """The same model with its preprocessing in front.

    Args:
        prepared: From `prepare`, of one size.

    Raises:
        UsageError: It reads texts.
        VitError: It has no preprocessing, or one that a graph cannot have.
    """
    if prepared.reads != "image":
        raise UsageError(
            "--preprocess applies to image models: a text model has its tokenizer.json beside it"
        )
    if prepared.model.preprocess is None:
        raise VitError("--preprocess: the model does not say how its pictures are prepared: leave it out")
    output = prepared.output if prepared.output == "features" else "scores"
    return _of_pictures(prepared.model, Pictured(prepared.model, prepared.module), output)


def pixels_alone(model: Any) -> Prepared:
    """The preprocessing of a model without the model, to be compared with Pillow."""
    return _of_pictures(model, Preprocessing(model.preprocess), "levels")


def _of_pictures(model: Any, module: nn.Module, output: str) -> Prepared:
    sizes = (model.preprocess.height, model.preprocess.width), _farther(model)
    axes = {axis: Dim(name, min=1) for axis, name in enumerate(("batch", "height", "width"))}
    return Prepared(model, module, module, "pictures", {"pictures": axes}, output, sizes, noise)


def noise(count: int, size: Size) -> tuple[Tensor, ...]:
    """Random pictures, on which resizing errs most, uint8 (count, height, width, 3)."""
    generator = torch.Generator().manual_seed(count)
    return (torch.randint(256, (count, *size, 3), generator=generator, dtype=torch.uint8),)


def compare(pixels: Pixels, preprocess: Preprocess, pictures: Iterable[np.ndarray]) -> Levels:
    """The pixels of a graph beside those that every command sees.

    Args:
        pixels: Runs the graph.
        preprocess: The model's.
        pictures: Upright uint8 arrays (height, width, 3), RGB.

    Raises:
        VitError: Those of a picture differ by more than `MOST_LEVELS`.
    """
    largest, means = 0, []
    for picture in pictures:
        found = pixels(torch.from_numpy(picture)[None])[0]
        difference = (found - preprocess.pixels(picture).float()).abs()
        largest = max(largest, int(difference.max()))
        means.append(float(difference.mean()))
    if max(means) > MOST_LEVELS:
        raise VitError(
            f"--preprocess: the pixels of a picture differ from Pillow's by {max(means):.1f} levels in the "
            f"mean, expected at most {MOST_LEVELS}: nothing is written"
        )
    return Levels(largest, round(sum(means) / len(means), 4), len(means))


def sample_pictures(model: Any) -> list[np.ndarray]:
    """Noise and smooth pictures, smaller and larger than the model's, upright and across."""
    height, width = model.preprocess.height, model.preprocess.width
    sizes = [(height, width), _farther(model), _farther(model)[::-1], (height // 2 + 1, width // 3 + 1)]
    smooth = [_ramp(*size) for size in sizes]
    return [*smooth, *(noise(1, size)[0][0].numpy() for size in sizes)]


def _ramp(height: int, width: int) -> np.ndarray:
    down, across = np.linspace(0, 255, height)[:, None], np.linspace(255, 0, width)[None]
    channels = (down + 0 * across, across + 0 * down, (down + across) / 2)
    return np.stack(channels, -1).astype(np.uint8)


def _farther(model: Any) -> Size:
    preprocess = model.preprocess
    return int(preprocess.height * FARTHER[0]), int(preprocess.width * FARTHER[1])
