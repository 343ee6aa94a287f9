"""Faithfulness of attribution methods: removal curves, control maps, comparison with shuffled weights."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vit.attribution.explain import explain
from vit.attribution.roster import METHODS
from vit.core.tower import Tower, probabilities
from vit.evaluation.removal import (
    BASELINES,
    areas,
    centre_map,
    interval,
    random_map,
    rank_correlation,
    ranking,
    removal_curves,
)

CONTROLS = ("random", "centre")
FIELDS = ("method", "baseline", "n", "morf", "lerf", "difference", "low", "high", "shuffled")


class Faithfulness:
    """Accumulates faithfulness metrics of attribution maps over images.

    Args:
        model: An image model in eval mode, with a head.
        steps: Number of steps in which the patches of an image are removed.
        batch_size: Images per forward pass.
    """

    def __init__(self, model: Tower, *, steps: int = 16, batch_size: int = 64):
        self.model = model
        self.steps = steps
        self.batch_size = batch_size
        self.areas: dict[tuple[str, str], list[Tensor]] = defaultdict(list)  # each (2,): MoRF, LeRF
        self.shuffled: dict[str, list[Tensor]] = defaultdict(list)

    @torch.no_grad()
    def add(self, images: Tensor, targets: Tensor, maps: Mapping[str, Tensor], first: int) -> None:
        """Measure the maps of several methods for the same images, and the control maps for these images.

        Args:
            images: (B, C, height, width), normalised.
            targets: int64 (B,), the class whose probability is measured.
            maps: Method name -> (B, rows, cols).
            first: Index of the first image, which seeds the random control.
        """
        grid = self.model.grid(images)
        centre = centre_map(grid)
        for index, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):
            named = {method: batch[index].float().cpu() for method, batch in maps.items()}
            named |= dict(zip(CONTROLS, (random_map(grid, first + index), centre), strict=True))
            orders = ranking(torch.stack(list(named.values())))
            score = partial(self._probability, target)
            for baseline, make_blank in BASELINES.items():
                blank = make_blank(image[None], grid)[0]
                curves = removal_curves(image, blank, orders, grid, score, steps=self.steps)
                for method, pair in zip(named, areas(curves), strict=True):
                    self.areas[method, baseline].append(pair)

    def compare(self, method: str, maps: Tensor, shuffled: Tensor) -> None:
        """Add rank correlations between maps (B, rows, cols) of the model and of a shuffled one."""
        self.shuffled[method].extend(rank_correlation(maps, shuffled).abs())

    def rows(self) -> list[dict[str, Any]]:
        """One row per method and baseline, with the keys `FIELDS`.

        `morf`, `lerf` and `difference` are means over the `n` images, `low` and `high` the 95 % interval of
        the difference. `shuffled` is the mean absolute rank correlation with the maps of shuffled weights;
        None where these were not computed.
        """
        rows = []
        for (method, baseline), pairs in self.areas.items():
            morf, lerf = torch.stack(pairs).double().numpy().T
            low, high = interval(lerf - morf)
            correlations = self.shuffled.get(method)
            values = (len(pairs), morf.mean(), lerf.mean(), (lerf - morf).mean(), low, high)
            row = dict(zip(FIELDS, (method, baseline, *map(_plain, values)), strict=False))
            row["shuffled"] = None if correlations is None else float(torch.stack(correlations).mean())
            rows.append(row)
        return rows

    def _probability(self, target: int, variants: Tensor) -> Tensor:
        """The probability (n,) of class `target` for images (n, C, height, width), in the weights' dtype."""
        batches = variants.split(self.batch_size)
        scores = (probabilities(self.model, self.model(batch, exact=True)) for batch in batches)
        return torch.cat([score[:, target] for score in scores])


def _plain(value: Any) -> Any:
    """A Python number for JSON; None for NaN."""
    if isinstance(value, int):
        return value
    return None if np.isnan(value) else float(value)


def measure(
    model: Tower,
    batches: Iterable[Tensor],
    methods: Mapping[str, Mapping[str, Any]],
    *,
    steps: int = 16,
    query: str | tuple[int, int] = "cls",
    check: bool = True,
) -> list[dict[str, Any]]:
    """Measure the faithfulness of methods on images; the class explained is the one that the model predicts.

    Args:
        model: An image model in eval mode, with a head.
        batches: Normalised images (B, C, height, width).
        methods: Method name -> its options.
        steps: Number of steps in which the patches of an image are removed.
        query: As in `vit.attend`.
        check: Also compare with the maps of a model whose weights are shuffled (Adebayo et al. 2018).

    Returns:
        `Faithfulness.rows`.
    """
    faithfulness = Faithfulness(model, steps=steps)
    shuffled = shuffle_weights(model) if check else None
    first = 0
    for images in batches:
        with torch.no_grad():
            targets = model(images, exact=True).argmax(1)
        maps = {}
        for method, options in methods.items():
            target = targets if METHODS[method].explains_class else None
            maps[method] = explain(model, images, method, target, query, **options).maps
            if shuffled is not None:
                others = explain(shuffled, images, method, target, query, **options).maps
                faithfulness.compare(method, maps[method], others)
        faithfulness.add(images, targets, maps, first)
        first += len(images)
    return faithfulness.rows()


def shuffle_weights(model: Any, seed: int = 0) -> Any:
    """A copy of the model with the entries of each parameter in random order, so that nothing is learned."""
    shuffled = deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return shuffled
