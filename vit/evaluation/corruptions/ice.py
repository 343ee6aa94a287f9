"""A layer of frost as on a window: fern-like crystals, thick in some places and thin in others."""

import math

import torch
from torch import Generator, Tensor

from vit.evaluation.corruptions.filters import plasma, smooth
from vit.evaluation.corruptions.sizes import LARGE

CRYSTALS, STEMS, BRANCHES, DOTS = 48, 5, 14, 24  # crystals of an image of 224 pixels; the rest in each
BRANCH_LENGTH = 0.35  # of its stem


def ice(size: tuple[int, int], thickness: float, generator: Generator) -> Tensor:
    """How white each pixel is, (1, height, width), 0..1.

    Crystals are dots, so dense that they make lines. A cloud decides where the ice is thick.

    Args:
        size: Height and width.
        thickness: Of the lines, in pixels.
        generator: Of the random numbers.
    """
    height, width = size
    dots = crystals(size, generator)
    inside = ((dots >= 0) & (dots < torch.tensor(size))).all(1)
    rows, cols = dots[inside].long().unbind(1)
    counts = torch.bincount(rows * width + cols, minlength=height * width).view(1, height, width)
    density = counts * (
        min(size) / LARGE
    )  # a line has the same dots at any size: more in each of fewer pixels
    lines = 1 - torch.exp(-0.6 * smooth(density, 0.4 * thickness))
    cloud = plasma(size, 1.6, generator)[None]
    return (0.05 + 0.5 * cloud + (0.1 + 0.6 * cloud) * lines).clamp(max=1)


def crystals(size: tuple[int, int], generator: Generator) -> Tensor:
    """The dots of all crystals, float32 (dots, 2): row and column, some of them outside.

    A crystal has stems in random directions, slightly bent, with branches on both sides, shorter towards the
    tip. Small images have fewer crystals, because lines are at least a pixel thick.
    """
    number = max(8, round(CRYSTALS * min(1.0, min(size) / LARGE)))

    def random(*shape: int) -> Tensor:  # axes: crystal, stem, branch, side, dot
        return torch.rand(*shape, generator=generator)

    side = torch.tensor([-1.0, 0.0, 1.0])[:, None]  # 0: the piece of stem up to the next branch
    centre = random(number, 1, 1, 1, 1, 2) * torch.tensor(size)
    length = min(size) * (0.08 + 0.4 * random(number, STEMS, 1, 1, 1).square())
    bend = random(number, STEMS, 1, 1, 1) - 0.5
    along = (torch.arange(BRANCHES)[:, None, None] + random(number, STEMS, BRANCHES, 1, 1)) / BRANCHES
    stem = 2 * math.pi * random(number, STEMS, 1, 1, 1) + bend * along
    branch = stem + side * (0.5 + 0.6 * random(number, STEMS, BRANCHES, 1, 1))
    reach = torch.where(side == 0, 1.5 / BRANCHES, BRANCH_LENGTH * (1 - along)) * torch.linspace(0, 1, DOTS)
    places = (length * along)[..., None] * _step(stem) + (length * reach)[..., None] * _step(branch)
    return (centre + places).flatten(0, -2)


def _step(angle: Tensor) -> Tensor:
    """A step of length 1 in a direction, (..., 2): row and column."""
    return torch.stack([angle.sin(), angle.cos()], -1)
