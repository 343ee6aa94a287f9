"""timm's `Beit` and `VisionTransformerRelPos`: biases of attention by offset of rows and columns."""

from typing import Any

from timm.models.beit import Block as BeitBlock
from timm.models.vision_transformer_relpos import RelPosBlock, ResPostRelPosBlock

from vit.weights.timm.families.family import body_tensors, tower_arguments_of
from vit.weights.timm.held import Named
from vit.weights.timm.layers.embedding import embedding_tensors, read_embedding
from vit.weights.timm.layers.tables import Layers, read_tables, table_tensors
from vit.weights.timm.parts import find


def beit_arguments(model: Any) -> dict[str, Any]:
    """The arguments of our tower, for `Beit`.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    common = tower_arguments_of(model, read_embedding(model), (BeitBlock,))
    return common | {"relative": read_tables(model, _beit_layers(model))}


def beit_tensors(model: Any) -> Named:
    """timm's tensors under our names."""
    yield from _tensors(model, _beit_layers(model))


def relpos_arguments(model: Any) -> dict[str, Any]:
    """The arguments of our tower, for `VisionTransformerRelPos`.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    common = tower_arguments_of(model, read_embedding(model), (RelPosBlock, ResPostRelPosBlock))
    return common | {"relative": read_tables(model, _relpos_layers(model))}


def relpos_tensors(model: Any) -> Named:
    """timm's tensors under our names."""
    yield from _tensors(model, _relpos_layers(model))


def _tensors(model: Any, layers: Layers) -> Named:
    yield from embedding_tensors(model)
    yield from table_tensors(model, layers)
    yield from body_tensors(model)


def _beit_layers(model: Any) -> Layers:
    """A layer adds its own bias and the one that all share."""
    shared = () if model.rel_pos_bias is None else ("rel_pos_bias",)
    attentions = [f"blocks.{layer}.attn" for layer in range(len(find(model, "blocks")))]
    has_own = {path: find(model, path).relative_position_bias_table is not None for path in attentions}
    return [((path,) if has_own[path] else ()) + shared for path in attentions]


def _relpos_layers(model: Any) -> Layers:
    """A layer adds its own bias, or the one that all share."""
    shared = () if model.shared_rel_pos is None else ("shared_rel_pos",)
    paths = [f"blocks.{layer}.attn.rel_pos" for layer in range(len(find(model, "blocks")))]
    return [(path,) if find(model, path) is not None else shared for path in paths]
