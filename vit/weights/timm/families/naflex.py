"""timm's `NaFlexVit` for images of one size: patches by a linear layer, and positions of any grid."""

from typing import Any

from timm.models.eva import EvaBlock
from timm.models.naflexvit import NaFlexEmbeds
from timm.models.vision_transformer import Block
from torch import nn

from vit.weights.timm.families.family import body_tensors, tower_arguments_of
from vit.weights.timm.held import Named, flat, linear_tensors, same
from vit.weights.timm.layers.embedding import EmbeddingPart, prefix_tensors, read_prefix
from vit.weights.timm.layers.norms import norm_tensors, norms_at
from vit.weights.timm.layers.rotary import read_rotary, rotary_tensors, rotated_channels
from vit.weights.timm.parts import DROPS, expect, expect_linear, find, refuse

# Settings of the positions, and what they must be where they are learned.
POSITIONS = {
    "pos_embed_interp_mode": "bicubic",
    "pos_embed_ar_preserving": False,
    "pos_embed_align_corners": False,
}


def arguments(model: Any) -> dict[str, Any]:
    """The arguments of our tower.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    embeds = expect(model, "embeds", (NaFlexEmbeds,))
    norms = norms_at(model, ["embeds.norm"])
    expect(model, "embeds.pos_drop", DROPS)
    rows, cols = _grid(embeds)
    height, width = embeds.patch_size
    embedding = {
        "image_size": (rows * height, cols * width),
        "patch_size": (height, width),
        "channels": embeds.in_chans,
        "patch_bias": _projection(model).bias is not None,
        "patch_norm": bool(norms),
        "positions": _positions(embeds),
        "positions_antialias": embeds.pos_embed_antialias,
        **read_prefix(embeds),
    }
    part, whole = EmbeddingPart(embedding, norms), model.pool_include_prefix
    common = tower_arguments_of(model, part, (Block, EvaBlock), whole=whole)
    return common | {"relative": read_rotary(model)}


def tensors(model: Any) -> Named:
    """timm's tensors under our names."""
    embeds, project = find(model, "embeds"), find(model, "embeds.proj")
    for name, held in linear_tensors(project, "tokenizer.project"):
        yield name, flat(_channels_first(embeds, project.weight)) if name.endswith("weight") else held
    yield from norm_tensors(find(model, "embeds.norm"), "patch_norm")
    yield from prefix_tensors(embeds, None)
    if embeds.pos_embed is not None:
        yield "positions.table", same(embeds.pos_embed[0])
    yield from rotary_tensors(model)
    yield from body_tensors(model, rotated_channels(model))


def _projection(model: Any) -> nn.Linear:
    """The layer from the pixels of a patch to a token."""
    embeds = find(model, "embeds")
    if embeds.norm_input is not None:
        refuse("embeds.norm_input", type(embeds.norm_input).__name__, "none")
    pixels = embeds.in_chans * embeds.patch_size[0] * embeds.patch_size[1]
    return expect_linear(model, "embeds.proj", (model.embed_dim, pixels))


def _channels_first(embeds: Any, weight: Any) -> Any:
    """Columns for the pixels of a patch: channel by channel, as ours are."""
    if not embeds.channels_last:
        return weight
    return weight.unflatten(1, (*embeds.patch_size, embeds.in_chans)).permute(0, 3, 1, 2)


def _positions(embeds: Any) -> str:
    """The name of the kind in `GridPositions`."""
    if embeds.pos_embed_type not in ("learned", "none"):
        refuse("embeds.pos_embed_type", repr(embeds.pos_embed_type), "'learned' or 'none'")
    if embeds.pos_embed_type == "learned":
        for name, wanted in POSITIONS.items():
            if getattr(embeds, name) != wanted:
                refuse(f"embeds.{name}", repr(getattr(embeds, name)), repr(wanted))
    return str(embeds.pos_embed_type)


def _grid(embeds: Any) -> tuple[int, int]:
    """Rows and columns of the table of positions, or those that timm's settings name."""
    if embeds.pos_embed is not None:
        rows, cols = embeds.pos_embed.shape[1:3]
        return rows, cols
    rows, cols = embeds.pos_embed_grid_size or (1, 1)
    return rows, cols
