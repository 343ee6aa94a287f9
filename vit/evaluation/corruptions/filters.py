"""Filters and random fields that corruptions are made of; images are float32 (C, height, width)."""

import math

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Generator, Tensor


def smooth(image: Tensor, std: float, *, mode: str = "nearest") -> Tensor:
    """A Gaussian blur of `std` pixels; `mode` is that of scipy.ndimage: what is beyond the border."""
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, std, std), mode=mode))


def convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """A weighted sum of shifted images; pixels beyond the border equal those at it.

    Args:
        image: (C, height, width).
        kernel: (rows, cols), both odd; the weight at its centre is that of the pixel itself.
    """
    rows, cols = kernel.shape
    pad = (cols // 2, cols // 2, rows // 2, rows // 2)
    return F.conv2d(F.pad(image[:, None], pad, mode="replicate"), kernel[None, None])[:, 0]


def disc(radius: float, blur: float) -> Tensor:
    """The kernel of a lens out of focus: a disc of `radius` pixels, its edge softened by `blur` pixels."""
    half = math.ceil(radius) + 2
    offsets = torch.arange(-half, half + 1, dtype=torch.float32)
    inside = (offsets[:, None] ** 2 + offsets**2 <= radius**2).to(torch.float32)
    kernel = smooth(inside[None], blur)[0]
    return kernel / kernel.sum()


def drag(image: Tensor, radius: float, std: float, angle: float) -> Tensor:
    """A motion: the mean along a line that begins at each pixel, weighted with half a Gaussian.

    Args:
        image: (C, height, width).
        radius: Half of the line's length, in pixels.
        std: Of the Gaussian, in pixels.
        angle: Of the line in degrees, clockwise from the right.
    """
    reach = math.ceil(2 * radius)
    height, width = image.shape[-2:]
    padded = F.pad(image, (reach, reach, reach, reach), mode="replicate")
    total, weights = torch.zeros_like(image), 0.0
    for step in range(reach + 1):
        weight = math.exp(-(step**2) / (2 * std**2))
        top = reach + round(step * math.sin(math.radians(angle)))
        left = reach + round(step * math.cos(math.radians(angle)))
        total.add_(padded[:, top : top + height, left : left + width], alpha=weight)
        weights += weight
    return total / weights


def zoom(image: Tensor, factors: list[float]) -> Tensor:
    """An image enlarged about its centre and cropped to its size: bilinear, (factors, C, height, width)."""
    maps = torch.eye(2, 3) / torch.tensor(factors)[:, None, None]
    size = [len(factors), *image.shape]
    grid = F.affine_grid(maps, size, align_corners=False)
    return F.grid_sample(image.expand(size), grid, padding_mode="border", align_corners=False)


def plasma(size: tuple[int, int], decay: float, generator: Generator) -> Tensor:
    """A cloud from the diamond-square algorithm (Fournier, Fussell & Carpenter 1982): (height, width), 0..1.

    A grid on a torus is refined: the centre of each square, and then of each diamond, is the mean of its
    four corners and a random number.

    Args:
        size: Height and width.
        decay: The random numbers fall by its square at each refinement: a larger one makes a smoother cloud.
        generator: Of the random numbers.
    """
    corners, amplitude = torch.zeros(1, 1), 1.0

    def noise() -> Tensor:
        return amplitude * (2 * torch.rand(corners.shape, generator=generator) - 1)

    while len(corners) < max(size):
        right = corners.roll(-1, 1)
        centres = (corners + right + (corners + right).roll(-1, 0)) / 4 + noise()
        tops = (corners + right + centres + centres.roll(1, 0)) / 4 + noise()
        lefts = (corners + corners.roll(-1, 0) + centres + centres.roll(1, 1)) / 4 + noise()
        upper, lower = torch.stack([corners, tops], 2), torch.stack([lefts, centres], 2)
        corners = torch.stack([upper.flatten(1), lower.flatten(1)], 1).flatten(0, 1)
        amplitude /= decay**2
    low, high = corners.min(), corners.max()
    return ((corners - low) / (high - low))[: size[0], : size[1]]
