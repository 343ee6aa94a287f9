"""From the tensors of a file to a timm model; timm converts names and shapes wherever it can."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vit.errors import VitError
from vit.weights.files.architecture import SCHEME, create, way_out
from vit.weights.files.checks import check_finite, check_names, check_patches, image_size
from vit.weights.files.names import Tensors

PATCHES = ("patch_embed.proj.weight", "visual.conv1.weight")  # timm's and OpenAI's name


@dataclass(frozen=True)
class Converted:
    """A timm model with the weights of a file.

    Args:
        model: On the CPU, float32.
        name: Of timm's architecture.
        taken: How many of the file's tensors it has.
        left: How many were left over, by the part that they belong to.
        place: The keys that lead to the weights in the file, joined by dots.
        origin: Where the preprocessing is from, if not from the architecture.
    """

    model: Any
    name: str
    taken: int
    left: dict[str, int]
    place: str = ""
    origin: str = ""


def convert(file: Path, name: str, tensors: Tensors, arguments: dict[str, Any]) -> Converted:
    """timm's model with the weights; its grid of positions, its channels and its classes are the file's.

    Args:
        file: For messages.
        name: Of timm's architecture.
        tensors: Under timm's names or OpenAI's, without wrappers.
        arguments: Of the architecture, where the file is known to differ from it.

    Raises:
        VitError: Anything but the head is missing or too much, or has another shape.
    """
    if "class_embedding" in tensors:  # OpenAI's names, of which timm wants the whole model
        tensors = {f"visual.{key}": tensor for key, tensor in tensors.items()}
    plan = create(name, num_classes=0, **arguments)
    for key in PATCHES:
        if key in tensors:
            shape = tensors[key].shape
            check_patches(file, name, plan, shape[0], shape[2:], tensors)
    weights = _filtered(plan, tensors)
    arguments = arguments | _own_arguments(weights, tensors, plan.num_features)
    expected = create(name, **arguments).state_dict()
    left = check_names(file, name, expected, weights, tensors)
    size = image_size(file, name, plan, weights["pos_embed"].shape[1])
    model = create(name, **arguments, img_size=size)
    _fill(file, name, model, {key: weights[key] for key in expected}, tensors)
    return Converted(model, name, len(expected), left)


def _filtered(plan: Any, tensors: Tensors) -> Tensors:
    """timm's conversion, with the file's own table of positions.

    timm would resample it to the grid of a model with a table. Here the model gets the grid of the file, so
    that nothing is interpolated twice.
    """
    from timm.models.vision_transformer import checkpoint_filter_fn

    table, plan.pos_embed = plan.pos_embed, None
    try:
        return checkpoint_filter_fn(dict(tensors), plan, adapt_layer_scale=True)
    finally:
        plan.pos_embed = table


def _own_arguments(weights: Tensors, tensors: Tensors, features: int) -> dict[str, Any]:
    """Arguments of the architecture in which files of it differ: classes, channels, pooling."""
    arguments: dict[str, Any] = {"num_classes": _classes(weights, tensors, features)}
    if (projection := weights.get(PATCHES[0])) is not None:
        arguments["in_chans"] = projection.shape[1]
    if "fc_norm.weight" in weights and "norm.weight" not in weights:  # MAE's and BEiT's fine-tuning
        arguments |= {"global_pool": "avg", "fc_norm": True}
    return arguments


def _classes(weights: Tensors, tensors: Tensors, features: int) -> int:
    """Classes of the head, where it is one linear layer on the features; 0 otherwise.

    A head on a layer of its own (`pre_logits`) is not taken: it would read what it has not been trained on.
    """
    matrix = weights.get("head.weight")
    if matrix is None or "head.bias" not in weights or any(key.startswith("pre_logits") for key in tensors):
        return 0
    return len(matrix) if matrix.shape[1:] == (features,) else 0


def _fill(file: Path, name: str, model: Any, weights: Tensors, tensors: Tensors) -> None:
    """Put the weights, in float32, into a model without memory.

    Raises:
        VitError: A tensor has another shape, is no floating-point number, or has NaN or infinity.
    """
    for key, parameter in model.state_dict().items():
        found, wanted = tuple(weights[key].shape), tuple(parameter.shape)
        if found != wanted:
            raise VitError(
                f"{file} has {key} of shape {found}, and {SCHEME}{name} has {wanted}: {way_out(tensors)}"
            )
        if not weights[key].is_floating_point():
            raise VitError(f"{file} has {key} in {weights[key].dtype}, expected a floating-point dtype")
    check_finite(file, weights)
    with torch.no_grad():
        model.load_state_dict({key: tensor.float() for key, tensor in weights.items()}, assign=True)
