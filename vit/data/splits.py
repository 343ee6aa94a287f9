"""Stratified splits: a part of a dataset held out, class by class."""

import torch
from torch import Tensor

from vit.data.randomness import generator
from vit.errors import VitError


def stratified_split(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Divide examples in two, with the same fraction of every class held out.

    Of a class with n examples, `round(fraction * n)` are held out: at least one if it has two or more, and
    never all. Which ones depends on the seed and the class alone, not on torch's global generator.

    Args:
        targets: int64 (n,), the class of each example.
        fraction: Fraction to hold out, in [0, 1).
        seed: Decides which examples.

    Returns:
        The kept and the held indices, int64, each sorted.

    Raises:
        VitError: `fraction` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise VitError(f"cannot hold out a fraction of {fraction} of the data, expected 0 <= fraction < 1")
    held = torch.zeros(len(targets), dtype=torch.bool)
    for label in targets.unique().tolist():
        members = (targets == label).nonzero().flatten()
        wanted = max(round(fraction * len(members)), 1) if fraction else 0
        order = torch.randperm(len(members), generator=generator(seed, label))
        held[members[order[: min(wanted, len(members) - 1)]]] = True
    return (~held).nonzero().flatten(), held.nonzero().flatten()
