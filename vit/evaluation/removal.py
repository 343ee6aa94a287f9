"""Removal curves: the model's score while patches are removed in the order of an attribution map.

A faithful map ranks the patches highest that the score depends on. Then the score falls fast when the most
relevant patches are removed first (MoRF), slowly when the least relevant are removed first (LeRF), and the
difference of the areas, LeRF - MoRF, is large (Samek et al. 2017; Tomsett et al. 2020). Deletion (Petsiuk et
al. 2018) is the area under MoRF. Insertion adds the most relevant patches first to a blank image: these are
the images of LeRF in reverse order, so its area is that of LeRF.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.attribution.perturbation import mean_color

# What replaces removed patches: images (B, C, height, width) and their grid -> blank images of that shape.
BASELINES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "mean color": lambda images, grid: mean_color(images),
    "blur": lambda images, grid: blurred(images, grid),
}
RESAMPLES = 2000  # of the bootstrap


def blurred(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Blur with a Gaussian whose standard deviation is one patch: (B, C, height, width) -> the same shape."""
    sides = images.shape[2], images.shape[3]
    sigmas = [side / count for side, count in zip(sides, grid, strict=True)]
    radii = [min(round(3 * sigma), side - 1) for sigma, side in zip(sigmas, sides, strict=True)]
    # torchvision wants width before height
    from torchvision.transforms.v2.functional import gaussian_blur  # takes a second

    return gaussian_blur(images, [2 * radius + 1 for radius in radii[::-1]], sigmas[::-1])


def ranking(maps: Tensor) -> Tensor:
    """Indices of the patches, the most relevant first: (..., rows, cols) -> int64 (..., patches).

    Ties are broken by one fixed random permutation, not by index: otherwise a map of zeros would rank the
    patches from top to bottom.
    """
    flat = maps.flatten(-2).cpu()
    order = torch.randperm(flat.shape[-1], generator=torch.Generator().manual_seed(0))
    return order[flat[..., order].argsort(dim=-1, descending=True, stable=True)]


def removal_curves(
    image: Tensor,
    blank: Tensor,
    orders: Tensor,
    grid: tuple[int, int],
    score: Callable[[Tensor], Tensor],
    *,
    steps: int = 16,
) -> Tensor:
    """The score of one image while its patches are replaced by those of a blank one, in several orders.

    `score` is called once, with the images of all steps of all orders.

    Args:
        image: (C, height, width).
        blank: (C, height, width), whose patches replace the removed ones.
        orders: int64 (M, patches), for each of M maps the indices of the patches, the most relevant first.
        grid: (rows, cols).
        score: Images (n, C, height, width) -> scores (n,).
        steps: Number of equal steps in which the patches are removed; at most the number of patches.

    Returns:
        (M, 2, steps + 1) on the CPU: MoRF and LeRF, from the whole image to the blank one.
    """
    patches = orders.shape[1]
    steps = min(steps, patches)
    counts = torch.linspace(0, patches, steps + 1).round().long()  # patches removed at each step
    rank = torch.empty_like(orders).scatter_(1, orders, torch.arange(patches).expand_as(orders))  # (M, P)
    ranks = torch.stack([rank, patches - 1 - rank], 1)  # (M, 2, P), MoRF and LeRF
    removed = ranks[:, :, None] < counts[1:-1, None]  # (M, 2, steps - 1, P)
    ends = torch.tensor([False, True])[:, None].expand(2, patches)  # the first and last image of all curves
    covers = torch.cat([ends, removed.flatten(0, 2)]).float().unflatten(1, grid)[:, None]
    pixels = interpolate(covers.to(image.device), tuple(image.shape[-2:]), mode="nearest-exact")
    scores = score(torch.where(pixels > 0.5, blank, image)).cpu()
    inner = scores[2:].view(len(orders), 2, steps - 1)
    first, last = (end.expand(len(orders), 2, 1) for end in scores[:2])
    return torch.cat([first, inner, last], -1)


def areas(curves: Tensor) -> Tensor:
    """The area under each curve over the share of removed patches, 0 to 1: (..., steps + 1) -> (...)."""
    return torch.trapezoid(curves, dim=-1) / (curves.shape[-1] - 1)


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of `values` (n,), from 2000 resamples; NaN below two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    from scipy.stats import bootstrap  # takes a third of a second, as does the import in the next function

    result = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def random_map(grid: tuple[int, int], index: int) -> Tensor:
    """A control that ignores the image: uniform noise (rows, cols), seeded with the index of the image."""
    return torch.rand(grid, generator=torch.Generator().manual_seed(index))


def centre_map(grid: tuple[int, int]) -> Tensor:
    """A control that expects objects in the centre: relevance (rows, cols) falls from there outwards."""
    row, col = (torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in grid)
    return -(row[:, None] ** 2 + col**2)


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's rank correlation of the maps of each image; 0 where one of the two is constant.

    Args:
        maps: (B, rows, cols).
        others: (B, rows, cols), compared with `maps`.

    Returns:
        float64 (B,) on the CPU.
    """
    from scipy.stats import rankdata

    ranks = [torch.from_numpy(rankdata(part.flatten(1).cpu().numpy(), axis=1)) for part in (maps, others)]
    first, second = (part - part.mean(1, keepdim=True) for part in ranks)
    norms = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(norms > 0, (first * second).sum(1) / norms.clamp(min=1e-12), 0.0)
