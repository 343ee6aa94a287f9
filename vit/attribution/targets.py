"""Targets: from a label, an index or None to one class index per sample."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vit.config import nearest
from vit.errors import UsageError


def as_targets(target: Any, batch: int, classes: int, labels: list[str]) -> Tensor | None:
    """One class index per sample, int64 (batch,); None stays None: the predicted class.

    Args:
        target: A label, an index, or a tensor or array of indices (batch,).
        batch: B.
        classes: Number of the model's classes.
        labels: Their names; empty if they are unknown.

    Raises:
        UsageError: No such label, an index outside the classes, or another number of indices.
    """
    if target is None:
        return None
    if isinstance(target, np.ndarray):
        target = torch.from_numpy(target)
    if not isinstance(target, Tensor) or target.ndim == 0:
        index = target.item() if isinstance(target, Tensor) else target
        return torch.full((batch,), class_index(index, classes, labels))
    if target.shape != (batch,):
        raise UsageError(f"target has shape {tuple(target.shape)}, expected ({batch},): a class each")
    for index in target.tolist():
        class_index(index, classes, labels)
    return target.long()


def class_index(target: Any, classes: int, labels: list[str]) -> int:
    """The index of a label. Labels are tried before numbers: the labels of digits are numbers too.

    The first of several synonyms, as in ImageNet's "tench, Tinca tinca", is a label of its own.

    Raises:
        UsageError: No such label, a label of several classes, or an index outside the classes.
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
    if isinstance(target, bool) or not isinstance(target, int | np.integer) or not 0 <= target < classes:
        raise UsageError(f"target is {target!r}, expected a label, or an index from 0 to {classes - 1}")
    return int(target)
