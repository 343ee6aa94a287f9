"""Which architecture of timm computes what our tower computes: the importer decides."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import timm
import torch

from vit.errors import VitError
from vit.export.safetensors.architecture import Difference, differences
from vit.export.safetensors.timm.arguments import ARCHITECTURES, MODULES, Arguments
from vit.vision import VisionTransformer
from vit.weights.timm.source import timm_architecture
from vit.weights.timm.tower import tower_arguments


class Architecture(NamedTuple):
    """A model of timm.

    Args:
        name: In timm's list.
        arguments: Of `timm.create_model`, plain values.
    """

    name: str
    arguments: dict[str, Any]


def find_architecture(model: Any) -> Architecture:
    """The first architecture that the importer reads as a tower with the arguments of ours.

    Args:
        model: An image tower.

    Raises:
        VitError: There is none; what differs from the nearest is named.
    """
    nearest: tuple[list[Difference], str] | None = None
    for name, arguments in _candidates(model):
        found = Architecture(name, arguments(model.architecture))
        odd = _differences(model, found)
        if odd == []:
            return found
        if odd is not None and (nearest is None or len(odd) < len(nearest[0])):
            nearest = odd, name
    if nearest is None:
        raise VitError("timm has no counterpart of this model: none of its architectures can be made like it")
    reasons, name = nearest
    raise VitError(
        f"timm has no counterpart of this model: {'; '.join(map(str, reasons))} (in the nearest, timm's "
        f"{name})"
    )


def _candidates(model: Any) -> Iterator[tuple[str, Arguments]]:
    """The architecture that the weights came from, and then one of each kind."""
    word = model.source.get("word", "")
    name = word.removeprefix("timm model ").removeprefix("timm:").partition(".")[0]
    if name not in ARCHITECTURES and timm.is_model(name):
        module = timm.model_entrypoint(name).__module__.rpartition(".")[2]
        if module in MODULES:
            yield name, MODULES[module]
    yield from ARCHITECTURES.items()


def _differences(model: Any, candidate: Architecture) -> list[Difference] | None:
    """What the importer reads otherwise; None where there is no such model, or it is none of ours."""
    try:
        with torch.device("meta"):
            theirs = timm_architecture(candidate.name, **candidate.arguments)
            made = VisionTransformer(**tower_arguments(theirs))
    except ValueError:  # VitError among them
        return None
    return differences(model.architecture, made.architecture)
