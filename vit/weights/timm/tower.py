"""From a timm model to the arguments of our tower and its tensors; what ours cannot reproduce is refused."""

from typing import Any

from torch import Tensor, nn

from vit.errors import VitError
from vit.weights.timm.families.roster import FAMILIES, REASONS
from vit.weights.timm.held import Named


def require_kind(model: Any) -> None:
    """Refuse what is no model of a class that can be imported.

    Raises:
        VitError: The class is named, why it cannot be imported where that is known, and those that can.
    """
    if type(model) in FAMILIES and "forward" not in vars(model):
        return
    kind = type(model)
    found, way_out = f"a {kind.__name__}", ""
    if kind in FAMILIES:
        found = "a model with a forward of its own"
    elif isinstance(model, nn.Module):
        found = f"a model of class {kind.__name__}"
    if kind.__module__.startswith("timm.") and kind.__name__ in REASONS:
        found += f" ({REASONS[kind.__name__]})"
    if isinstance(model, str):
        way_out = f'; vit.load_model("timm:{model}") takes a name'
    elif kind.__module__.startswith("transformers."):
        way_out = "; vit.from_huggingface imports models of transformers"
    classes = ", ".join(f"{known.__name__} ({family.systems})" for known, family in FAMILIES.items())
    raise VitError(f"cannot import {found}, expected one of timm's {classes}{way_out}")


def tower_arguments(model: Any) -> dict[str, Any]:
    """The arguments of `vit.vision.VisionTransformer` that give the same logits.

    Every part is looked at, and every block.

    Args:
        model: timm's, of a class in `FAMILIES`.

    Raises:
        VitError: It has a part that ours has not; the part, what it is and what it may be are named.
    """
    require_kind(model)
    return FAMILIES[type(model)].arguments(model)


def converted(tensors: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """The tensors of a file with the names and shapes of a model, as timm itself converts them.

    Args:
        tensors: Of the file.
        model: A model that `tower_arguments` takes.
    """
    return FAMILIES[type(model)].convert(tensors, model)


def tower_tensors(model: Any) -> Named:
    """Yield our names, and where timm's model has each tensor: to read it, or to write it.

    Args:
        model: A model that `tower_arguments` takes.
    """
    yield from FAMILIES[type(model)].tensors(model)
