"""Localisation of attribution maps where it is known what they should find, without a model's opinion.

Two constructions give an image the region that a class's map belongs in:

- the grid pointing game (Boehle, Fritz & Schiele 2021, "Convolutional dynamic alignment networks", section
  5): four pictures of different classes side by side, of which one class is explained;
- a mark that alone decides the class, on pictures that have nothing to do with it: a model that reads such
  images without mistakes reads the mark.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.evaluation.removal import interval, ranking

FIELDS = ("method", "n", "pointing", "pointing_low", "pointing_high", "inside", "inside_low", "inside_high")
QUARTERS = 4


class Located(NamedTuple):
    """Images and the patches that a map should find.

    Args:
        images: (B, C, height, width), like the pictures that they are made of.
        targets: int64 (B,), the classes to explain.
        inside: bool (B, rows, cols), the patches of the region.
    """

    images: Tensor
    targets: Tensor
    inside: Tensor


class Localisation:
    """Accumulates how well the maps of several methods find the region."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = defaultdict(
            list
        )  # (B, 2): whether it points inside, the share

    def add(self, maps: Mapping[str, Tensor], inside: Tensor) -> None:
        """Measure maps (B, rows, cols) by name, against bool (B, rows, cols)."""
        for method, batch in maps.items():
            points = pointing(batch, inside).double()
            self.values[method].append(torch.stack([points, share_inside(batch, inside).double()], -1))

    def rows(self) -> list[dict[str, Any]]:
        """One row per method, with the keys `FIELDS`: means over `n` images with their 95 % intervals."""
        rows = []
        for method, parts in self.values.items():
            points, share = torch.cat(parts).numpy().T
            values = (method, len(share), points.mean(), *interval(points), share.mean(), *interval(share))
            rows.append(dict(zip(FIELDS, values, strict=True)))
        return rows


def pointing(maps: Tensor, inside: Tensor) -> Tensor:
    """Whether the highest patch lies in the region (Zhang et al. 2018, "Top-down neural attention", 4.3).

    Args:
        maps: (B, rows, cols); ties are broken as in `vit.evaluation.removal.ranking`.
        inside: bool (B, rows, cols)

    Returns:
        bool (B,) on the CPU.
    """
    return inside.flatten(1).cpu().gather(1, ranking(maps)[:, :1])[:, 0]


def share_inside(maps: Tensor, inside: Tensor) -> Tensor:
    """The share of what counts for the class that lies in the region; negative values are left out.

    Args:
        maps: (B, rows, cols)
        inside: bool (B, rows, cols)

    Returns:
        (B,) on the CPU, 0 where a map has no positive value.
    """
    positive = maps.clamp(min=0).flatten(1).cpu().double()
    total = positive.sum(1)
    found = (positive * inside.flatten(1).cpu()).sum(1)
    return torch.where(total > 0, found / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


def quarters(images: Tensor, targets: Tensor, grid: tuple[int, int], count: int, seed: int = 0) -> Located:
    """Images of four pictures of different classes, each with one of the four classes to explain.

    Args:
        images: (n, C, height, width) of at least four classes; in the pointing game, pictures that the model
            recognises when it sees them alone.
        targets: int64 (n,)
        grid: (rows, cols) of the patches of one picture.
        count: B, number of images to make.
        seed: Of the choice.

    Returns:
        Images (B, C, 2 height, 2 width), on a grid of 2 rows x 2 cols patches.

    Raises:
        ValueError: Fewer than four classes.
    """
    present = targets.unique()
    if len(present) < QUARTERS:
        raise ValueError(f"the pictures have {len(present)} classes, expected at least {QUARTERS}")
    generator = torch.Generator().manual_seed(seed)

    def draw(among: Tensor, size: int = 1) -> Tensor:
        return among[torch.randperm(len(among), generator=generator)[:size]]

    made, asked, regions = [], [], torch.zeros(count, QUARTERS, dtype=torch.bool)
    for index in range(count):
        classes = draw(present, QUARTERS)
        place = index % QUARTERS
        tiles = [images[draw((targets == each).nonzero()[:, 0])[0]] for each in classes]
        made.append(torch.cat([torch.cat(tiles[start : start + 2], -1) for start in (0, 2)], -2))
        asked.append(classes[place])
        regions[index, place] = True
    size = 2 * grid[0], 2 * grid[1]
    inside = interpolate(regions.view(count, 1, 2, 2).float(), size, mode="nearest-exact")[:, 0] > 0
    return Located(torch.stack(made), torch.stack(asked), inside)


def marked(images: Tensor, marks: Tensor, grid: tuple[int, int], seed: int = 0) -> Located:
    """Pictures with a mark on one patch, at a random place; the class is that of the mark.

    Args:
        images: (B, C, height, width), whatever they show.
        marks: (classes, C, patch height, patch width), one mark for each class.
        grid: (rows, cols)
        seed: Of places and classes.
    """
    generator = torch.Generator().manual_seed(seed)
    (rows, cols), count = grid, len(images)
    targets = torch.randint(len(marks), (count,), generator=generator)
    places = torch.randint(rows * cols, (count,), generator=generator)
    inside = torch.nn.functional.one_hot(places, rows * cols).bool().unflatten(1, grid)
    pixels = interpolate(inside[:, None].float(), tuple(images.shape[-2:]), mode="nearest-exact") > 0
    return Located(torch.where(pixels, marks[targets].repeat(1, 1, rows, cols), images), targets, inside)
