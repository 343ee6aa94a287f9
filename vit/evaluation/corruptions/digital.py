"""Changes by processing. Images are as in `vit.evaluation.corruptions.noise`."""

import io
import math

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from vit.data.preprocess import levels
from vit.evaluation.corruptions.filters import smooth
from vit.evaluation.corruptions.sizes import parameter, parameters


def contrast(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Less contrast: each channel towards its mean."""
    factor = parameter(image, severity, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
    mean = image.mean((1, 2), keepdim=True)
    return mean + factor * (image - mean)


def elastic_transform(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Stretched and bent: an affine map, and a smooth random displacement of each pixel."""
    # Root mean square of the displacement, its smoothness, and how far the affine map moves three points, as
    # shares of the side. The authors' numbers, each in rising order: theirs bend more and stretch less.
    small = (
        (0.0, 0.2, 0.03),
        (0.0013, 0.2, 0.05),
        (0.0068, 0.06, 0.06),
        (0.0127, 0.04, 0.07),
        (0.017, 0.03, 0.08),
    )
    large = (
        (0.0021, 0.7, 0.02),
        (0.0036, 0.01, 0.02),
        (0.0051, 0.01, 0.02),
        (0.0087, 0.01, 0.1),
        (0.0182, 0.08, 0.2),
    )
    strength, smoothness, shift = parameters(image, severity, small, large)
    size = torch.tensor(image.shape[-2:], dtype=torch.float32)
    side = float(size.min())
    reference = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]) * side / 3  # from the centre
    moved = reference + shift * side * _signed(reference.shape, generator)
    affine = torch.linalg.solve(_with_one(reference), moved)  # (3, 2)
    std = smoothness * side
    bend = smooth(_signed((2, *image.shape[-2:]), generator), std, mode="reflect")
    bend *= strength * side * 2 * math.sqrt(3 * math.pi) * std  # smoothing leaves 1 / (2 sqrt(3 pi) std)
    rows, cols = (torch.arange(n) - (n - 1) / 2 for n in image.shape[-2:])
    places = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), -1)  # (height, width, 2), row and column
    source = _with_one(places + bend.permute(1, 2, 0)) @ affine
    grid = (2 * source / size).flip(-1)[None]  # x before y, -1 to 1
    return F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]


def pixelate(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Reduced to this share of the side, and enlarged again without smoothing."""
    share = parameter(image, severity, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))
    height, width = image.shape[-2:]
    picture = _picture(image)
    reduced = picture.resize((max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX)
    return levels(reduced.resize((width, height), Image.Resampling.BOX)) / 255


def jpeg_compression(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """JPEG of this quality, with Pillow's default of half the resolution for color."""
    quality = parameter(image, severity, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7))
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=round(quality))
    return levels(Image.open(file)) / 255


def _picture(image: Tensor) -> Image.Image:
    """The image as Pillow has it, mode L or RGB."""
    array = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _signed(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random numbers between -1 and 1."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _with_one(points: Tensor) -> Tensor:
    """(..., 2) -> (..., 3), for a map that shifts."""
    return F.pad(points, (0, 1), value=1.0)
