"""Which class is to be explained: from a label, an index or nothing to one index per picture."""

from typing import Any

import torch
from torch import Tensor

from vit.config import nearest
from vit.errors import UsageError


def as_targets(target: Any, batch: int, classes: int, labels: list[str]) -> Tensor | None:
    """One class index for each picture, int64 (batch,); None stays None: the class that is predicted.

    Args:
        target: A label, an index, or a tensor of indices (batch,).
        batch: B.
        classes: Number of the model's classes.
        labels: Their names, or nothing.

    Raises:
        UsageError: No such label, an index outside the classes, or another number of indices.
    """
    if target is None:
        return None
    if not isinstance(target, Tensor) or target.ndim == 0:
        index = target.item() if isinstance(target, Tensor) else target
        return torch.full((batch,), class_index(index, classes, labels))
    if target.shape != (batch,):
        raise UsageError(f"target has shape {tuple(target.shape)}, expected ({batch},): a class each")
    for index in target.tolist():
        class_index(index, classes, labels)
    return target.long()


def class_index(target: Any, classes: int, labels: list[str]) -> int:
    """The index of a label; labels come before numbers, for the labels of digits are numbers too.

    A label that lists synonyms, as ImageNet's do ("tench, Tinca tinca"), answers to the first of them.

    Raises:
        UsageError: No such label, a label that several classes have, or no index of a class.
    """
    if isinstance(target, str):
        named = [index for index, label in enumerate(labels) if label == target]
        named = named or [index for index, label in enumerate(labels) if label.split(",")[0] == target]
        if len(named) > 1:
            raise UsageError(f"target is {target}, which the classes {named} are called: give an index")
        if named:
            return named[0]
        if not target.isdecimal():
            hint = nearest(target, labels) if labels else f", expected an index from 0 to {classes - 1}"
            raise UsageError(f"target is {target}{hint}")
        target = int(target)
    if isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < classes:
        raise UsageError(f"target is {target!r}, expected a label, or an index from 0 to {classes - 1}")
    return target
