"""Towers that compute the same as another: for pictures of one size, and with a head that reads more."""

from typing import Any

import torch

from vit.errors import VitError
from vit.export.prepare import picture_size
from vit.vision.patches import patch_grid
from vit.weights.models import make_tower


def at_picture_size(model: Any) -> Any:
    """The same model for pictures of the size that its preprocessing gives, its positions interpolated once.

    Other libraries interpolate in their own ways, and some not at all. A model whose positions have that size
    already, or that reads texts, is given back.

    Args:
        model: A tower, in eval mode.

    Raises:
        VitError: Its attention has a table of biases for another size.
    """
    if model.reads == "text" or picture_size(model) == tuple(model.image_size):
        return model
    size = picture_size(model)
    if hasattr(model.relative, "table"):
        raise VitError(
            f"the model has a table of relative positions for {model.image_size[0]} x {model.image_size[1]} "
            f"pixels, and its preprocess gives {size[0]} x {size[1]}: other libraries have no such model"
        )
    state = model.state_dict()
    if "positions.table" in state:
        grid = patch_grid(size, model.patch_size, trim=model.trim)
        with torch.no_grad():
            state["positions.table"] = model.positions.resized(*grid)
    return _changed(model, state, image_size=size)


def with_both_pools(model: Any) -> Any:
    """The same classifier with a head on class token and mean of the patches, whose other half is zeros.

    That is what transformers' classifiers of DINOv2 read.

    Args:
        model: A tower, in eval mode.

    Returns:
        None for one that has no class token, no head, or another pool.
    """
    given = model.architecture
    if model.reads == "text" or not given["classes"] or not given["class_token"]:
        return None
    between = (given["pool_norm"], given["pooler"] is not None, given["projection"] is not None)
    if given["pool"] not in ("cls", "mean") or any(between):
        return None
    state = model.state_dict()
    weight = state["head.weight"]
    halves = [weight, torch.zeros_like(weight)]
    state["head.weight"] = torch.cat(halves if given["pool"] == "cls" else halves[::-1], 1)
    return _changed(model, state, pool="cls_mean")


def _changed(model: Any, state: dict[str, torch.Tensor], **arguments: Any) -> Any:
    """A tower with other arguments and weights, and all else of `model`."""
    changed = make_tower(model.architecture | arguments)
    changed.load_state_dict(state)
    for name in ("preprocess", "labels", "thresholds", "source"):
        setattr(changed, name, getattr(model, name))
    return changed.eval()
