"""The parts of a timm model, by path: found, or refused by name.

This module and those that import it load timm, which takes seconds: `vit.weights` imports none of them until
a timm model is asked for.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

import timm.layers
from torch import Tensor, nn

from vit.errors import VitError
from vit.weights.wrappers import unwrapped

DROPS = (nn.Dropout, nn.Identity, timm.layers.DropPath, timm.layers.PatchDropout)  # identities in eval mode


def refuse(part: str, found: object, expected: str) -> NoReturn:
    """Say which part of the model vit cannot reproduce.

    Raises:
        VitError: Always.
    """
    raise VitError(f"cannot import this timm model: {part} is {found}, expected {expected}")


def find(model: nn.Module, path: str) -> Any:
    """The part at a path such as `blocks.3.mlp.act`, without wrappers; None where there is none."""
    found: Any = model
    for name in path.split("."):
        found = unwrapped(getattr(found, name, None))
    return found


def expect(model: nn.Module, path: str, kinds: Iterable[type]) -> Any:
    """The part at a path, whose class must be one of `kinds` itself: a subclass may compute anything.

    Raises:
        VitError: It is something else, or its `forward` was replaced.
    """
    found = find(model, path)
    if type(found) not in kinds:
        refuse(path, kind_name(found), " or ".join(dict.fromkeys(kind.__name__ for kind in kinds)))
    if "forward" in vars(found):
        refuse(f"{path}.forward", "a function of its own", f"that of {type(found).__name__}")
    return found


def expect_linear(model: nn.Module, path: str, size: tuple[int, int]) -> nn.Linear:
    """A linear layer of `size`, (outputs, inputs).

    Raises:
        VitError: It is something else.
    """
    layer: nn.Linear = expect(model, path, (nn.Linear,))
    if tuple(layer.weight.shape) != size:
        refuse(
            path,
            f"a linear layer of shape {tuple(layer.weight.shape)}",
            f"{size}, as in the plain transformer",
        )
    return layer


def only_value(values: dict[str, Any]) -> Any:
    """The value that all parts have, by path.

    Raises:
        VitError: Two differ.
    """
    (first, expected), *rest = values.items()
    for part, value in rest:
        if value != expected:
            refuse(part, value, f"{expected}, as {first}")
    return expected


def require_weights(model: nn.Module) -> None:
    """Refuse a model whose parameters are not all here, as plain tensors of one dtype.

    Raises:
        VitError: They are on the meta device, sharded or quantised, or of several dtypes.
    """
    dtypes = {}
    for name, parameter in model.named_parameters():
        if type(parameter) not in (nn.Parameter, Tensor):
            kind = type(parameter).__name__
            refuse(name, f"a {kind}", "a plain tensor: gather sharded weights, and dequantise others, first")
        if parameter.is_meta:
            refuse(name, "on the meta device, without values", "a tensor with values: load the weights first")
        dtypes[f"the dtype of {name}"] = parameter.dtype
    if dtypes:
        only_value(dtypes)


def kind_name(found: object) -> str:
    """The class of a part; of a `Sequential`, those of its layers too."""
    if isinstance(found, nn.Sequential):
        return f"Sequential({', '.join(kind_name(unwrapped(layer)) for layer in found)})"
    return "missing" if found is None else type(found).__name__
