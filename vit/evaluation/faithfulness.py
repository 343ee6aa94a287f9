"""How faithful a model's maps are: deletion and insertion, controls, and the check with shuffled weights."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vit.attribution.explain import METHODS, explain
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
from vit.vision import VisionTransformer

CONTROLS = ("random", "centre")
FIELDS = ("method", "baseline", "n", "morf", "lerf", "difference", "low", "high", "shuffled")


class Faithfulness:
    """Collects the figures of maps, picture by picture.

    Args:
        model: In eval mode, with a head.
        steps: Parts in which the patches of a picture are taken away.
        batch_size: Pictures per forward pass.
    """

    def __init__(self, model: VisionTransformer, *, steps: int = 16, batch_size: int = 64):
        self.model = model
        self.steps = steps
        self.batch_size = batch_size
        self.areas: dict[tuple[str, str], list[Tensor]] = defaultdict(list)  # each (2,): MoRF, LeRF
        self.shuffled: dict[str, list[Tensor]] = defaultdict(list)

    @torch.no_grad()
    def add(self, images: Tensor, targets: Tensor, maps: Mapping[str, Tensor], first: int) -> None:
        """Measure maps of the same pictures, and the controls beside them.

        Args:
            images: (B, C, height, width)
            targets: int64 (B,), the class whose probability is watched.
            maps: (B, rows, cols) by method.
            first: Index of the first picture; the random control is a function of it.
        """
        grid = self.model.grid(images)
        centre = centre_map(grid)
        for place, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):
            named = {method: part[place].float().cpu() for method, part in maps.items()}
            named |= dict(zip(CONTROLS, (random_map(grid, first + place), centre), strict=True))
            orders = ranking(torch.stack(list(named.values())))
            for baseline, blank in BASELINES.items():
                score = partial(self._probability, target)
                curves = removal_curves(
                    image, blank(image[None], grid)[0], orders, grid, score, steps=self.steps
                )
                for method, pair in zip(named, areas(curves), strict=True):
                    self.areas[method, baseline].append(pair)

    def compare(self, method: str, maps: Tensor, shuffled: Tensor) -> None:
        """Note how alike a method's maps are with the model's weights and with shuffled ones."""
        self.shuffled[method].extend(rank_correlation(maps, shuffled).abs())

    def rows(self) -> list[dict[str, Any]]:
        """One row per method and baseline: means over pictures, and the 95 % interval of LeRF - MoRF."""
        rows = []
        for (method, baseline), pairs in self.areas.items():
            morf, lerf = torch.stack(pairs).double().numpy().T
            low, high = interval(lerf - morf)
            alike = self.shuffled.get(method)
            figures = (len(pairs), morf.mean(), lerf.mean(), (lerf - morf).mean(), low, high)
            row = dict(zip(FIELDS, (method, baseline, *map(_plain, figures)), strict=False))
            row["shuffled"] = None if alike is None else float(torch.stack(alike).mean())
            rows.append(row)
        return rows

    def _probability(self, target: int, variants: Tensor) -> Tensor:
        parts = [_exact(self.model, part).softmax(-1)[:, target] for part in variants.split(self.batch_size)]
        return torch.cat(parts)


def _exact(model: VisionTransformer, images: Tensor) -> Tensor:
    """Logits in the weights' own precision, which `forward` may not be in."""
    return model.read(model.encode(images))


def _plain(value: Any) -> Any:
    """Numbers that JSON knows; NaN is none."""
    if isinstance(value, int):
        return value
    return None if np.isnan(value) else float(value)


def measure(
    model: VisionTransformer,
    batches: Iterable[Tensor],
    methods: Mapping[str, Mapping[str, Any]],
    *,
    steps: int = 16,
    query: str | tuple[int, int] = "cls",
    check: bool = True,
) -> list[dict[str, Any]]:
    """Measure methods on pictures; each explains the class that the model predicts.

    Args:
        model: In eval mode, with a head.
        batches: Normalised pictures (B, C, height, width).
        methods: Options by method.
        steps: Parts in which the patches of a picture are taken away.
        query: As in `vit.attend`.
        check: Compare with a model whose weights are shuffled, too (Adebayo et al. 2018).

    Returns:
        `Faithfulness.rows`.
    """
    found = Faithfulness(model, steps=steps)
    other = shuffle_weights(model) if check else None
    first = 0
    for images in batches:
        with torch.no_grad():
            targets = _exact(model, images).argmax(1)
        maps = {}
        for method, options in methods.items():
            target = targets if METHODS[method].of_a_class else None
            maps[method] = explain(model, images, method, target, query, **options).maps
            if other is not None:
                shuffled = explain(other, images, method, target, query, **options).maps
                found.compare(method, maps[method], shuffled)
        found.add(images, targets, maps, first)
        first += len(images)
    return found.rows()


def shuffle_weights(model: nn.Module, seed: int = 0) -> Any:
    """A copy of the model with every parameter's entries in random order: as large, and knowing nothing."""
    shuffled = deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            order = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return shuffled
