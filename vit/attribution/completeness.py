"""Completeness: whether a map's values add up to the score that they explain."""

from typing import NamedTuple

import torch
from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.passes import query_logits, target_logits, whole_states
from vit.attribution.perturbation import blank_inputs
from vit.attribution.query import parse_query
from vit.core import Tower


class Completeness(NamedTuple):
    """Both sides of an account that a complete map balances (Sundararajan, Taly & Yan 2017, section 3).

    Args:
        total: (B,), the sum of the map.
        difference: (B,), the target's logit less that of the baseline; without a baseline the logit.
    """

    total: Tensor
    difference: Tensor


@torch.no_grad()
def completeness(
    model: Tower,
    inputs: Tensor,
    found: Explanation,
    query: str | tuple[int, int] = "cls",
    *,
    baseline: str = "blank",
) -> Completeness:
    """The sum of a map beside the difference that it explains; it takes two forward passes.

    Balanced gradients are those of a linear function that equals the model at the input alone: `libra` adds
    up to how far that function falls to the baseline. With `none`, what biases and positions add is missing.

    Args:
        model: In eval mode, with a head.
        inputs: Images or ids.
        found: Of `vit.attribution.explain.explain`, by a method that explains a class.
        query: That of `found`.
        baseline: That of `found`, as in `vit.attribution.perturbation.blank_inputs`, with its errors.
    """
    targets = found.targets
    assert targets is not None
    reading, grid = parse_query(query), model.grid(inputs)

    def score(shown: Tensor) -> Tensor:
        return target_logits(query_logits(model, whole_states(model, shown), reading, grid), targets)

    blank = blank_inputs(model, inputs, baseline)
    difference = score(inputs) if blank is None else score(inputs) - score(blank)
    return Completeness(found.maps.flatten(1).sum(1), difference)
