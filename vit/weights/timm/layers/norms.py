"""Norms: their kind and epsilon, which all norms of a model share, and their tensors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import timm.layers
import torch
from torch import Tensor, nn

from vit.weights.timm.held import Named, always, ordered
from vit.weights.timm.parts import expect, only_value, refuse

KINDS: dict[type, str] = {
    nn.LayerNorm: "layer",
    timm.layers.LayerNorm: "layer",
    timm.layers.LayerNormFp32: "layer",
    timm.layers.RmsNorm: "rms",
    timm.layers.RmsNormFp32: "rms",
}


@dataclass(frozen=True)
class Norm:
    """A norm over the last axis.

    Args:
        kind: A name in `vit.core.norms.NORMS`.
        eps: Added to the variance.
    """

    kind: str
    eps: float


def norms_at(model: nn.Module, paths: Iterable[str], *, required: bool = False) -> dict[str, Norm]:
    """The norms at some paths, without those where an identity stands.

    Raises:
        VitError: Another norm, or an identity and a norm is `required`.
    """
    kinds = KINDS if required else (*KINDS, nn.Identity)
    found = {path: expect(model, path, kinds) for path in paths}
    return {
        path: Norm(KINDS[type(norm)], norm.eps)
        for path, norm in found.items()
        if not isinstance(norm, nn.Identity)
    }


def only_norm(norms: Mapping[str, Norm]) -> dict[str, Any]:
    """`norm_kind` and `norm_eps`, the fields of `BlockSpec`, that all norms have, by path.

    Raises:
        VitError: Two differ.
    """
    return {
        "norm_kind": only_value({f"the kind of norm in {path}": norm.kind for path, norm in norms.items()}),
        "norm_eps": only_value({f"the eps of {path}": norm.eps for path, norm in norms.items()}),
    }


def norm_tensors(norm: Any, name: str, order: Tensor | None = None) -> Named:
    """Nothing for an identity; ones and zeros where a norm has no weight or bias.

    Args:
        norm: timm's.
        name: Ours.
        order: Of the channels, int64; None: as they are.
    """
    if norm is None or isinstance(norm, nn.Identity):
        return
    width = norm.normalized_shape
    if len(width) != 1:
        refuse(f"the shape of {name}", tuple(width), "one axis")
    yield f"{name}.weight", always(torch.ones(width)) if norm.weight is None else ordered(norm.weight, order)
    if KINDS[type(norm)] == "layer":
        yield f"{name}.bias", always(torch.zeros(width)) if norm.bias is None else ordered(norm.bias, order)
