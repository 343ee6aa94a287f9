"""Which family of transformers computes what our tower computes: the importer decides."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.errors import VitError
from vit.export.safetensors.architecture import Difference, differences, weights_of
from vit.export.safetensors.huggingface.counterpart import FAR, Counterpart, NoCounterpart
from vit.export.safetensors.huggingface.families.roster import COUNTERPARTS, Task, task_of
from vit.weights.huggingface.importer import described, from_tensors


class Found(NamedTuple):
    """A model of transformers.

    Args:
        kind: The `model_type`.
        architecture: The class.
        task: What it is for.
        config: The content of `config.json` that follows from the tower.
        tensors: Of the file of weights.
        left: Arguments of the tower that the class leaves to its user: the pool of a model without a head.
    """

    kind: str
    architecture: str
    task: Task
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    left: tuple[str, ...] = ()


class Miss(NamedTuple):
    """A family that a tower cannot be written as.

    Args:
        distance: Number of differences.
        architecture: The class.
        reasons: The differences.
    """

    distance: int
    architecture: str
    reasons: list[str]


def find_counterpart(model: Any) -> Found:
    """The first family that the importer reads as a tower with the arguments and the tensors of ours.

    Args:
        model: A tower, float32 on the CPU.

    Raises:
        VitError: There is none; what differs from the nearest is named.
    """
    task, weights, misses = task_of(model), weights_of(model), []
    for family in COUNTERPARTS[model.reads]:
        if task not in family.classes:
            continue
        found = _tried(family, model, weights, task)
        if isinstance(found, Found):
            return found
        misses.append(found)
    if not misses:
        raise VitError(f"transformers has no counterpart of this model: no family has one ({task})")
    nearest = min(misses, key=lambda miss: miss.distance)  # of several the first
    raise VitError(
        f"transformers has no counterpart of this model: {'; '.join(nearest.reasons)} (in the nearest, "
        f"{nearest.architecture})"
    )


def _tried(family: Counterpart, model: Any, weights: dict[str, Tensor], task: Task) -> Found | Miss:
    """What the files of a family hold; or what in the tower it has not."""
    architecture = family.classes[task]
    try:
        config = {"architectures": [architecture], "model_type": family.kind, "dtype": "float32"}
        config |= family.config(model.architecture)
    except (NoCounterpart, KeyError) as error:
        return Miss(_distance(error), architecture, [_said(error)])
    try:
        tensors = family.tensors(weights, model.architecture, task)
        made = described(config, tensors).model
    except (VitError, KeyError, IndexError, RuntimeError, TypeError) as error:
        return Miss(_distance(error), architecture, [_said(error)])
    odd = differences(model.architecture, made.architecture)
    left = tuple(each.name for each in odd if task == "encoder" and each.name in family.idle)
    odd = [each for each in odd if each.name not in left]
    found = Found(family.kind, architecture, task, config, tensors, left)
    odd = odd or _tensor_differences(weights, found)
    return Miss(len(odd), architecture, [str(each) for each in odd]) if odd else found


def _distance(error: Exception) -> int:
    return error.distance if isinstance(error, NoCounterpart) else FAR


def _said(error: Exception) -> str:
    """The message; of an error that is none of ours, what the tower lacks."""
    return str(error) if isinstance(error, VitError) else f"it has no {str(error).splitlines()[0]}"


def _tensor_differences(weights: dict[str, Tensor], found: Found) -> list[Difference]:
    """Tensors that are not the same, bit by bit, once they are read from the files."""
    try:
        state = from_tensors(found.config, found.tensors).state_dict()
    except VitError as error:
        return [Difference("a tensor", "there", str(error))]
    return [
        Difference(name, "a tensor", "another" if name in state else "none")
        for name in sorted(weights.keys() | state.keys())
        if not name.startswith(found.left or ("\0",))
        and not (name in weights and name in state and torch.equal(weights[name], state[name]))
    ]
