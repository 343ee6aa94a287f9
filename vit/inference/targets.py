"""Which class is to be explained: from a label, an index or nothing to one index per picture."""

import torch
from torch import Tensor

from vit.config import nearest
from vit.errors import VitError


def as_targets(
    target: int | str | Tensor | None, batch: int, classes: int, labels: list[str]
) -> Tensor | None:
    """One class index for each picture, int64 (batch,); None stays None: the class that is predicted.

    Args:
        target: A label, an index, or a tensor of indices (batch,).
        batch: B.
        classes: Number of the model's classes.
        labels: Their names, or nothing.

    Raises:
        VitError: No such label, an index outside the classes, or another number of indices.
    """
    if target is None:
        return None
    if isinstance(target, Tensor):
        if target.shape != (batch,):
            raise VitError(f"target has shape {tuple(target.shape)}, expected ({batch},): a class each")
        wrong = [index for index in target.tolist() if not 0 <= index < classes]
        if wrong:
            raise VitError(f"target is {wrong[0]}, expected an index from 0 to {classes - 1}")
        return target.long()
    return torch.full((batch,), class_index(target, classes, labels))


def class_index(target: int | str, classes: int, labels: list[str]) -> int:
    """The index of a label; labels come before numbers, for the labels of digits are numbers too.

    Raises:
        VitError: No such label, or an index outside the classes.
    """
    if isinstance(target, str) and target in labels:
        return labels.index(target)
    try:
        index = int(target)
    except ValueError:
        raise VitError(f"target is {target}{nearest(str(target), labels)}") from None
    if not 0 <= index < classes:
        raise VitError(f"target is {target}, expected a label, or an index from 0 to {classes - 1}")
    return index
