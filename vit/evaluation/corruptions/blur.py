"""Blurs. Images are as in `vit.evaluation.corruptions.noise`."""

import math

import torch
from torch import Generator, Tensor

from vit.evaluation.corruptions.filters import convolve, disc, drag, smooth, zoom
from vit.evaluation.corruptions.sizes import length_scale, parameters


def defocus_blur(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """A lens out of focus: the mean over a disc."""
    small = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    large = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    radius, blur = parameters(image, severity, small, large)
    return convolve(image, disc(radius * length_scale(image), blur))


def glass_blur(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Frosted glass: pixels change places with near ones, between two slight blurs."""
    small = ((0.4, 1, 1), (0.25, 1, 1), (0.05, 1, 1), (0.4, 1, 2), (0.25, 1, 2))  # sorted by their effect
    large = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
    std, distance, rounds = parameters(image, severity, small, large)
    scale = length_scale(image)
    size = (image.shape[1], image.shape[2])
    pixels = smooth(image, std * scale).flatten(1)  # (C, pixels)
    while rounds > 0:
        pixels = pixels[:, _shuffle(size, distance * scale, min(rounds, 1.0), generator)]
        rounds -= 1
    return smooth(pixels.view_as(image), std * scale)


def _shuffle(size: tuple[int, int], distance: float, share: float, generator: Generator) -> Tensor:
    """An order of the pixels in which each has changed places with a near one: int64 (pixels,).

    From the last pixel to the first, so that one may wander. Those nearer to the border than `distance` are
    neighbours of others only.

    Args:
        size: Height and width.
        distance: Largest distance in rows and in columns.
        share: Of the pixels that change places, 0 to 1.
        generator: Of the random numbers.
    """
    height, width = size
    reach = math.ceil(distance)
    rows, cols = (torch.arange(reach + 1, max(reach, n - reach) + 1).flip(0) for n in size)
    here = (rows[:, None] * width + cols).flatten()
    u = torch.rand(3, len(here), generator=generator)
    down, right = ((2 * u[:2] - 1) * distance).floor().long()
    there = torch.where(u[2] < share, here + down * width + right, here)
    order = list(range(height * width))
    for one, other in zip(here.tolist(), there.tolist(), strict=True):
        order[one], order[other] = order[other], order[one]
    return torch.tensor(order)


def motion_blur(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """A moving camera: a mean along a line, at most 45 degrees from the horizontal."""
    small = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    large = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    radius, std = parameters(image, severity, small, large)
    scale = length_scale(image)
    angle = float(torch.empty(()).uniform_(-45, 45, generator=generator))
    return drag(image, radius * scale, std * scale, angle)


def zoom_blur(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """A camera that moves towards the object: the mean of the image and of enlarged ones."""
    small = ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))
    large = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
    end, step = parameters(image, severity, small, large)
    enlarged = zoom(image, torch.arange(1, end, step).tolist())
    return (image + enlarged.sum(0)) / (len(enlarged) + 1)
