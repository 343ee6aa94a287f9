"""MLPs, plain and gated: fields of `BlockSpec`, and their tensors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import timm.layers
from torch import Tensor, nn

from vit.weights.timm.held import Named, linear_tensors, same
from vit.weights.timm.layers.norms import Norm, norm_tensors, norms_at
from vit.weights.timm.parts import DROPS, expect, expect_linear, find, only_value

ACTIVATIONS: dict[type, str] = {
    nn.GELU: "gelu",
    timm.layers.get_act_layer("gelu"): "gelu",
    timm.layers.get_act_layer("gelu_tanh"): "gelu_tanh",
    timm.layers.get_act_layer("quick_gelu"): "quick_gelu",
    nn.ReLU: "relu",
    nn.SiLU: "silu",
}


class Kind(NamedTuple):
    """A class of MLP.

    Args:
        gated: Whether its hidden channels are multiplied by a gate.
        layers: Its layers from D to the hidden channels, by the names of ours that they hold, in the order in
            which they are stacked in timm's; None where timm's model decides it (`gate_last`).
    """

    gated: bool
    layers: Callable[[Any], dict[str, tuple[str, ...]]]


KINDS: dict[type, Kind] = {
    timm.layers.Mlp: Kind(False, lambda mlp: {"fc1": ("expand",)}),
    timm.layers.SwiGLU: Kind(True, lambda mlp: {"fc1_g": ("gate",), "fc1_x": ("expand",)}),
    timm.layers.GluMlp: Kind(
        True, lambda mlp: {"fc1": ("expand", "gate") if mlp.gate_last else ("gate", "expand")}
    ),
}


class MlpPart(NamedTuple):
    """An MLP.

    Args:
        hidden: Channels.
        fields: `activation`, `gated` and `hidden_norm` of `BlockSpec`.
        bias: Whether its layers have one.
        norms: By path.
    """

    hidden: int
    fields: dict[str, Any]
    bias: bool
    norms: dict[str, Norm]


def read_mlp(model: nn.Module, at: str, width: int) -> MlpPart:
    """The MLP at a path.

    Args:
        model: timm's.
        at: Path of the MLP.
        width: D.

    Raises:
        VitError: A part of it is not one of ours, or its layers differ in having a bias.
    """
    mlp = expect(model, at, KINDS)
    kind = KINDS[type(mlp)]
    for name in ("drop1", "drop2"):
        expect(model, f"{at}.{name}", DROPS)
    norms = norms_at(model, [f"{at}.norm"])
    layers = kind.layers(mlp)
    stacked = {f"{at}.{name}": len(parts) for name, parts in layers.items()}
    first, count = next(iter(stacked.items()))
    hidden = expect(model, first, (nn.Linear,)).out_features // count
    linears = {path: expect_linear(model, path, (hidden * count, width)) for path, count in stacked.items()}
    linears[f"{at}.fc2"] = expect_linear(model, f"{at}.fc2", (width, hidden))
    bias = only_value({f"bias of {path}": layer.bias is not None for path, layer in linears.items()})
    fields = {
        "activation": read_activation(model, f"{at}.act"),
        "gated": kind.gated,
        "hidden_norm": bool(norms),
    }
    return MlpPart(hidden, fields, bias, norms)


def read_activation(model: nn.Module, path: str) -> str:
    """The name of ours in `vit.core.mlp.ACTIVATIONS`.

    Raises:
        VitError: It is not one of ours.
    """
    activation = expect(model, path, ACTIVATIONS)
    tanh = getattr(activation, "approximate", "none") == "tanh"
    return "gelu_tanh" if tanh else ACTIVATIONS[type(activation)]


def mlp_tensors(model: nn.Module, at: str, ours: str) -> Named:
    """The tensors of the MLP at a path, which `read_mlp` takes, under the names of ours."""
    mlp = find(model, at)
    for name, parts in KINDS[type(mlp)].layers(mlp).items():
        layer = find(model, f"{at}.{name}")
        for part, weight, bias in zip(parts, *stacked_parts(layer, len(parts)), strict=True):
            yield f"{ours}.{part}.weight", same(weight)
            if bias is not None:
                yield f"{ours}.{part}.bias", same(bias)
    yield from norm_tensors(find(model, f"{at}.norm"), f"{ours}.norm")
    yield from linear_tensors(find(model, f"{at}.fc2"), f"{ours}.contract")


def stacked_parts(layer: nn.Linear, count: int) -> tuple[list[Tensor], list[Tensor | None]]:
    """Weights and biases of `count` layers of one size that are stacked in one."""
    biases: list[Tensor | None] = [None] * count
    if layer.bias is not None:
        biases[:] = layer.bias.chunk(count)
    return list(layer.weight.chunk(count)), biases
