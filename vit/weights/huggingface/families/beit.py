"""BEiT (Bao et al. 2022) and Data2Vec's vision model: relative positions as biases on the scores."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.huggingface.config import num_classes
from vit.weights.huggingface.families.family import Family, Task
from vit.weights.huggingface.families.grid import (
    block_of,
    flatten_patches,
    grid_of,
    pixels,
    place_positions,
)
from vit.weights.huggingface.names import our_name

PREFIX_PAIRS = 3  # rows at the end of a table: class to patch, patch to class, class to class
OUTERMOST = re.compile(r"^layernorm\.(weight|bias)$")


def beit_name(name: str) -> str | None:
    """Their name of a tensor -> ours, as `our_name`.

    The norm beside the base model is that of a head of pretraining, and the norm of a base model that is
    alone has the same name.
    """
    outermost = OUTERMOST.match(name)
    return f"outermost_norm.{outermost[1]}" if outermost else our_name(name)


def build_beit(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it."""
    flatten_patches(state)
    means = bool(config["use_mean_pooling"])
    _place_norm(state, means)
    absolute = bool(config["use_absolute_position_embeddings"])
    if absolute:
        place_positions(family, state, grid_of(config), ("class_token",))
    block = block_of(
        config,
        state,
        head_width=config.get("head_dim") if family == "beit" else None,
        qkv_bias=(True, False, True),
        layer_scale=1.0 if config["layer_scale_init_value"] > 0 else None,
    )
    return VisionTransformer(
        num_classes(state),
        block=block,
        **pixels(config),
        positions="learned" if absolute else "none",
        positions_antialias=False,
        relative=_relative(family, config, state),
        pool="mean" if means else "cls",
        encoder_norm=not means,
        pool_norm="pool_norm.weight" in state,
    )


def _place_norm(state: dict[str, Tensor], means: bool) -> None:
    """The norm after the last block is there where the class token is read, not where the mean is."""
    for part in ("weight", "bias"):
        norm = state.pop(f"outermost_norm.{part}", None)
        if norm is not None and not means:
            state.setdefault(f"encoder.norm.{part}", norm)


def _relative(family: str, config: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Any] | None:
    """The arguments of the biases, whose tables are brought to ours in `state`; None where there are none.

    Raises:
        VitError: The grid is no square, or the tables are of another grid.
    """
    tables = _tables(config, state)
    if tables is None:
        return None
    rows, cols = grid_of(config)
    if rows != cols:
        raise VitError(
            f"cannot import this {family}: image_size {config['image_size']} is {rows} x {cols} patches, "
            "expected a square: transformers reads its biases in another order there"
        )
    offsets, expected = tables.shape[2] - PREFIX_PAIRS, (2 * rows - 1) * (2 * cols - 1)
    if offsets != expected:
        raise VitError(
            f"cannot import this {family}: its table of biases has {tables.shape[2]} rows, expected "
            f"{expected + PREFIX_PAIRS} for {rows} x {cols} patches"
        )
    state["relative.table"] = tables[..., :offsets].unflatten(2, (2 * rows - 1, 2 * cols - 1))
    state["relative.prefix"] = tables[..., offsets:]
    return {
        "kind": "table",
        "rows": rows,
        "cols": cols,
        "prefix_bias": True,
        "shared": len(tables) == 1,
        "interpolation": "bilinear",
    }


def _tables(config: dict[str, Any], state: dict[str, Tensor]) -> Tensor | None:
    """Their tables, (1 or L, H, offsets and pairs with the class token), taken out of `state`.

    A layer that has both a table of its own and that of all layers adds them.
    """
    shared = state.pop("relative_table") if config["use_shared_relative_position_bias"] else None
    if not config["use_relative_position_bias"]:
        return None if shared is None else shared.T[None]
    layers = range(config["num_hidden_layers"])
    own = torch.stack([state.pop(f"encoder.blocks.{layer}.relative_table") for layer in layers])
    return (own if shared is None else own + shared).transpose(1, 2)


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "Backbone": "encoder",
    "ForMaskedImageModeling": "pretraining",
    "ForImageClassification": "classifier",
}
HEADS = ("classifier.", "lm_head.", "fpn")
BEIT = Family(
    prefix="Beit", reads="image", tasks=TASKS, build=build_beit, name=beit_name, heads=HEADS, pooler=()
)
DATA2VEC = Family(
    prefix="Data2VecVision",
    reads="image",
    tasks={"Model": "encoder", "ForImageClassification": "classifier"},
    build=build_beit,
    name=beit_name,
    heads=HEADS,
    pooler=(),
)
