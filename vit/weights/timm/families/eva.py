"""timm's `Eva`: a vision transformer with rotary positions, a table of positions, or both."""

from typing import Any

from timm.models.eva import EvaBlock, EvaBlockPostNorm

from vit.weights.timm.families.family import body_tensors, tower_arguments_of
from vit.weights.timm.held import Named
from vit.weights.timm.layers.embedding import embedding_tensors, read_embedding
from vit.weights.timm.layers.rotary import read_rotary, rotary_tensors, rotated_channels

BLOCKS = (EvaBlock, EvaBlockPostNorm)


def arguments(model: Any) -> dict[str, Any]:
    """The arguments of our tower.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    whole = model.attn_pool is not None  # its mean leaves out the prefix, and its attention pool does not
    common = tower_arguments_of(model, read_embedding(model), BLOCKS, whole=whole)
    return common | {"relative": read_rotary(model)}


def tensors(model: Any) -> Named:
    """timm's tensors under our names."""
    yield from embedding_tensors(model)
    yield from rotary_tensors(model)
    yield from body_tensors(model, rotated_channels(model))
