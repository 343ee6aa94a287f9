"""Whether the labels of a dataset are those of a model, and in which order."""

from typing import Any

import torch
from torch import Tensor

from vit.errors import VitError
from vit.recipes.evaluation.data import EvaluationData


def require_same_kind(model: Any, data: EvaluationData, parts: list[Any]) -> None:
    """Refuse data with one label per example for a model of several, and the other way round.

    Args:
        model: Of several labels, if it has `thresholds`.
        data: The dataset.
        parts: What of it is measured.

    Raises:
        VitError: They do not fit.
    """
    several = parts[0].targets.ndim == 2
    if several and not model.thresholds:
        raise VitError(
            f"{data.name} has several labels per example, and the model gives one: measure it on data with "
            "one"
        )
    if model.thresholds and not several:
        raise VitError(
            f"{data.name} has one label per example, and the model gives several: measure it on a table like "
            "the one that it was trained on"
        )


def class_order(model_labels: list[str], data: EvaluationData, parts: list[Any]) -> Tensor:
    """How the labels of the dataset correspond to those of the model.

    Args:
        model_labels: Of the model.
        data: The dataset.
        parts: What of it is measured.

    Returns:
        The model's class for each class of the dataset; -1 for one that the parts do not have. With several
        labels the other way round, an order of columns: the dataset's label for each of the model; -1 for one
        that it does not have.

    Raises:
        VitError: An example has a label that the model lacks.
    """
    several = parts[0].targets.ndim == 2
    present = torch.zeros(len(data.labels), dtype=torch.bool)
    for part in parts:
        present |= (part.targets == 1).any(0) if several else _occurring(part.targets, len(data.labels))
    unknown = [
        label
        for label, occurs in zip(data.labels, present.tolist(), strict=True)
        if occurs and label not in model_labels
    ]
    if unknown:
        raise VitError(
            f"the labels do not fit: {data.name} has {len(data.labels)} classes, the model "
            f"{len(model_labels)}, and {unknown[0]!r} is none of the model's ({', '.join(model_labels[:5])}"
            f"{', ...' if len(model_labels) > 5 else ''}): move its examples away, or rename it"
        )
    source, wanted = (data.labels, model_labels) if several else (model_labels, data.labels)
    return torch.tensor([source.index(label) if label in source else -1 for label in wanted])


def _occurring(targets: Tensor, classes: int) -> Tensor:
    """Bool (classes,), which classes occur in int64 (n,)."""
    return targets.bincount(minlength=classes) > 0
