"""Is a map faithful to the model? Take patches away in the map's order, and watch the score.

A faithful map names the patches that the score rests on. Taking the most relevant first (MoRF) then breaks
the score at once, the least relevant first (LeRF) leaves it standing, and LeRF - MoRF is large (Samek et al.
2017; Tomsett et al. 2020). Deletion (Petsiuk et al. 2018) is the area under MoRF. Insertion shows the most
relevant patches first on a blank picture: those are LeRF's pictures in reverse, so its area is LeRF's.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2.functional import gaussian_blur

from vit.attribution.perturbation import mean_color

BASELINES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "mean colour": lambda images, grid: mean_color(images),
    "blur": lambda images, grid: blurred(images, grid),
}
RESAMPLES = 2000


def blurred(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Pictures without detail: a Gaussian as wide as a patch. (B, C, height, width) -> the same shape."""
    sides = images.shape[2], images.shape[3]
    sigmas = [side / count for side, count in zip(sides, grid, strict=True)]
    radii = [min(round(3 * sigma), side - 1) for sigma, side in zip(sigmas, sides, strict=True)]
    # torchvision wants width before height
    return gaussian_blur(images, [2 * radius + 1 for radius in radii[::-1]], sigmas[::-1])


def ranking(maps: Tensor) -> Tensor:
    """Patches by relevance, the most relevant first: (..., rows, cols) -> int64 (..., patches).

    Equal values are ordered by one fixed draw, not by place: else a map of zeros would be a map of places.
    """
    flat = maps.flatten(-2).cpu()
    draw = torch.randperm(flat.shape[-1], generator=torch.Generator().manual_seed(0))
    return draw[flat[..., draw].argsort(dim=-1, descending=True, stable=True)]


def removal_curves(
    image: Tensor,
    blank: Tensor,
    orders: Tensor,
    grid: tuple[int, int],
    score: Callable[[Tensor], Tensor],
    *,
    steps: int = 16,
) -> Tensor:
    """The score while one picture's patches are replaced by the blank's, in several orders.

    All steps of all orders are one call of `score`.

    Args:
        image: (C, height, width)
        blank: (C, height, width), what a patch that is taken away looks like.
        orders: int64 (M, patches), most relevant first, one for each of M maps.
        grid: (rows, cols)
        score: Pictures (n, C, height, width) -> (n,).
        steps: Equal parts in which the patches go; at most their number.

    Returns:
        (M, 2, steps + 1): MoRF and LeRF, from the whole picture to the blank one.
    """
    patches = orders.shape[1]
    steps = min(steps, patches)
    counts = torch.linspace(0, patches, steps + 1).round().long()  # patches gone at each step
    place = torch.empty_like(orders).scatter_(1, orders, torch.arange(patches).expand_as(orders))  # (M, P)
    places = torch.stack([place, patches - 1 - place], 1)  # (M, 2, P), MoRF and LeRF
    gone = places[:, :, None] < counts[1:-1, None]  # (M, 2, steps - 1, P)
    ends = torch.tensor([False, True])[:, None].expand(2, patches)  # the two pictures that all curves share
    covers = torch.cat([ends, gone.flatten(0, 2)]).float().unflatten(1, grid)[:, None]
    pixels = interpolate(covers.to(image.device), tuple(image.shape[-2:]), mode="nearest-exact")
    scores = score(torch.where(pixels > 0.5, blank, image)).cpu()
    inner = scores[2:].view(len(orders), 2, steps - 1)
    first, last = (end.expand(len(orders), 2, 1) for end in scores[:2])
    return torch.cat([first, inner, last], -1)


def areas(curves: Tensor) -> Tensor:
    """The area under each curve over the share of patches gone, 0 to 1: (..., steps + 1) -> (...)."""
    return torch.trapezoid(curves, dim=-1) / (curves.shape[-1] - 1)


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean, by percentiles of 2000 resamples; NaN below two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def random_map(grid: tuple[int, int], index: int) -> Tensor:
    """The control without knowledge: uniform noise, a function of the picture's index. (rows, cols)."""
    return torch.rand(grid, generator=torch.Generator().manual_seed(index))


def centre_map(grid: tuple[int, int]) -> Tensor:
    """The control that knows photographers: the closer to the middle, the more relevant. (rows, cols)."""
    row, col = (torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in grid)
    return -(row[:, None] ** 2 + col**2)


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's correlation of two maps, picture by picture; 0 where one of them is flat.

    (B, rows, cols) twice -> (B,).
    """
    ranks = [
        torch.from_numpy(stats.rankdata(part.flatten(1).cpu().numpy(), axis=1)) for part in (maps, others)
    ]
    first, second = (part - part.mean(1, keepdim=True) for part in ranks)
    norms = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(norms > 0, (first * second).sum(1) / norms.clamp(min=1e-12), 0.0)
