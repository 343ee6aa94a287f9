"""RISE: the score under random masks (Petsiuk, Das & Saenko 2018)."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.attribution.explain import Explanation
from vit.attribution.passes import perturbed
from vit.attribution.perturbation import Score, mean_color
from vit.attribution.query import Query
from vit.core import Tower
from vit.errors import UsageError


def run(
    model: Tower, inputs: Tensor, query: Query, targets: Tensor | None, *, samples: int = 1000
) -> Explanation:
    """The mean of random masks, weighted by the target's probability under each."""
    masked = partial(rise, samples=samples)
    return perturbed(masked, lambda logits: logits.softmax(-1), model, inputs, query, targets)


def rise(
    images: Tensor,
    targets: Tensor,
    score: Score,
    grid: tuple[int, int],
    *,
    samples: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    batch_size: int = 64,
) -> Tensor:
    """RISE (Petsiuk, Das & Saenko 2018, "Randomized input sampling for explanation", section 3).

    Random masks of `cells` x `cells`, each cell kept with probability `keep`, are enlarged bilinearly and
    shifted by a random part of a cell (section 3.2). Hidden pixels take the image's mean color. The map is
    the mean of the masks weighted by the scores, divided by the probability of being kept (eq. 6).

    Args:
        images: (B, C, height, width)
        targets: int64 (B,)
        score: Probabilities in the paper; called with variants of one image at a time.
        grid: (rows, cols) of the map; the mask's pixels are averaged over each patch.
        samples: Number of masks, the same for every image.
        cells: Cells per side of a mask.
        keep: Probability that a cell is kept.
        seed: Of the masks.
        batch_size: Variants per call.

    Returns:
        float32 (B, rows, cols), in units of the score.

    Raises:
        UsageError: No sample.
    """
    if samples < 1:
        raise UsageError(f"samples is {samples}, expected at least 1")
    size = (images.shape[2], images.shape[3])
    total = torch.zeros(len(images), *grid, device=images.device)
    colors = mean_color(images)
    for masks in _rise_masks(size, samples, cells, keep, seed, batch_size):
        masks = masks.to(images.device)  # (n, 1, height, width)
        shown = interpolate(masks, grid, mode="area")[:, 0]  # (n, rows, cols)
        for map_, image, color, target in zip(total, images, colors, targets, strict=True):
            scores = score(torch.lerp(color, image, masks.to(image)), target.expand(len(masks))).float()
            map_ += torch.einsum("n,nrc->rc", scores, shown)
    return total / (samples * keep)


def _rise_masks(
    size: tuple[int, int], samples: int, cells: int, keep: float, seed: int, batch_size: int
) -> Iterator[Tensor]:
    """(up to batch_size, 1, height, width) masks in [0, 1] at a time; their values do not depend on
    the batch size."""
    generator = torch.Generator().manual_seed(seed)
    cell = [-(-side // cells) for side in size]  # pixels of a cell, rounded up
    large = ((cells + 1) * cell[0], (cells + 1) * cell[1])
    grids = (torch.rand(samples, 1, cells + 1, cells + 1, generator=generator) < keep).float()
    tops = torch.randint(0, cell[0], (samples,), generator=generator)
    lefts = torch.randint(0, cell[1], (samples,), generator=generator)
    for part, top, left in zip(
        grids.split(batch_size), tops.split(batch_size), lefts.split(batch_size), strict=True
    ):
        smooth = interpolate(part, large, mode="bilinear", align_corners=False)
        smooth = smooth.clamp(0, 1)  # against rounding
        corners = zip(smooth, top.tolist(), left.tolist(), strict=True)
        yield torch.stack([mask[:, y : y + size[0], x : x + size[1]] for mask, y, x in corners])
