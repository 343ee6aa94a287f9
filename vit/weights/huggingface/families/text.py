"""What the importers of text encoders share: refusals by field, names by tables, layers after pooling."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from vit.errors import VitError
from vit.text import TextTransformer
from vit.text.projection import ACTIVATIONS as PROJECTION_ACTIVATIONS
from vit.text.projection import Projection

# Their names of activations after pooling, and ours.
AFTER_POOLING = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu",
    "tanh": "tanh", "sigmoid": "sigmoid", "silu": "silu", "swish": "silu", "linear": "identity",
}  # fmt: skip


class Dense(NamedTuple):
    """A linear layer after pooling, with its activation's name in `vit.text.projection`.

    Args:
        weight: (width after, width before).
        bias: (width after,), or None.
        activation: The name.
    """

    weight: Tensor
    bias: Tensor | None
    activation: str


def text_tower(
    arguments: Mapping[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights.

    Args:
        arguments: Those that the config and the tensors say.
        state: Tensors under our names; changed to fit the tower.
        changes: Arguments that go before these; `projections` are `Dense` layers, whose tensors are put into
            `state`.
    """
    merged = {**arguments, **changes}
    if "projections" in changes:
        merged["projections"] = _projections(changes["projections"], state)
    if merged.get("pooler") is None:
        for name in ("pooler.0.weight", "pooler.0.bias"):
            state.pop(name, None)
    return TextTransformer(**merged)


def _projections(layers: Sequence[Dense], state: dict[str, Tensor]) -> list[Projection]:
    """Arguments of the layers; their tensors go into `state`, under the names of `make_projections`."""
    for index, layer in enumerate(layers):
        place = f"projections.{2 * index}"  # an activation follows each
        state[f"{place}.weight"] = layer.weight
        if layer.bias is not None:
            state[f"{place}.bias"] = layer.bias
    return [(len(layer.weight), layer.activation, layer.bias is not None) for layer in layers]


def layer_after_pooling(state: Mapping[str, Tensor], activation: str) -> list[Projection]:
    """The arguments of the layer `projections.0` in `state`; none where it is not there."""
    if "projections.0.weight" not in state:
        return []
    return [(len(state["projections.0.weight"]), activation, "projections.0.bias" in state)]


def activation_after_pooling(family: str, config: Mapping[str, Any], field: str) -> str:
    """Our name of an activation after pooling.

    Raises:
        VitError: We have not got it.
    """
    said = config.get(field)
    ours = AFTER_POOLING.get(str(said), "")
    if ours not in PROJECTION_ACTIVATIONS:
        raise VitError(
            f"cannot import this {family}: its {field} is {said}, expected one of: {', '.join(AFTER_POOLING)}"
        )
    return ours


def require(family: str, config: Mapping[str, Any], field: str, *expected: Any, missing: Any = None) -> None:
    """Refuse a config by one of its fields.

    Args:
        family: The `model_type`.
        config: The content of `config.json`.
        field: The field.
        expected: The values that can be followed.
        missing: The value where the config does not say.

    Raises:
        VitError: It has another value.
    """
    said = config.get(field, missing)
    if said not in expected:
        known = " or ".join(str(value) for value in expected)
        raise VitError(f"cannot import this {family}: its {field} is {said}, and vit reads {known}")


def require_encoder(family: str, config: Mapping[str, Any]) -> None:
    """Refuse a decoder.

    Raises:
        VitError: It is one.
    """
    if config.get("is_decoder"):
        raise VitError(
            f"cannot import this {family}: it is a decoder (is_decoder is True), and vit reads encoders"
        )
    require(family, config, "add_cross_attention", False, None)
