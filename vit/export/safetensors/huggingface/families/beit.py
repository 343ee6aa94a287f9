"""BEiT and Data2Vec's vision model."""

from typing import Any

import torch

from vit.export.safetensors.architecture import qkv_biases
from vit.export.safetensors.huggingface.counterpart import Architecture, Counterpart, State
from vit.export.safetensors.huggingface.families.grid import (
    image_config,
    rows_of_positions,
    unflatten_patches,
)
from vit.weights.huggingface.families.beit import PREFIX_PAIRS
from vit.weights.huggingface.names import BEIT_AROUND, BEIT_BLOCK, Names


def config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    relative = ours["relative"]
    shared = relative is not None and bool(relative.get("shared"))
    return image_config(ours) | {
        "use_mask_token": False,
        "use_absolute_position_embeddings": ours["positions"] != "none",
        "use_relative_position_bias": relative is not None and not shared,
        "use_shared_relative_position_bias": shared,
        "layer_scale_init_value": 0.0 if ours["layer_scale"] is None else 0.1,
        "use_mean_pooling": ours["pool"] == "mean",
        "qkv_bias": any(qkv_biases(ours)),
    }


def undo(state: State, ours: Architecture) -> None:
    """Patches, positions, and tables of biases as one list of offsets and pairs with the class token."""
    unflatten_patches(state, ours)
    rows_of_positions(state, 1)
    table, prefix = state.pop("relative.table", None), state.pop("relative.prefix", None)
    if table is None:
        return
    flat = table.flatten(2)  # (1 or L, H, offsets)
    prefix = flat.new_zeros(*flat.shape[:2], PREFIX_PAIRS) if prefix is None else prefix
    rows = torch.cat([flat, prefix], 2).transpose(1, 2)
    if (ours["relative"] or {}).get("shared"):
        state["relative_table"] = rows[0]
        return
    state |= {f"encoder.blocks.{layer}.relative_table": part for layer, part in enumerate(rows)}


BEIT = Counterpart(
    kind="beit",
    classes={"encoder": "BeitModel", "classifier": "BeitForImageClassification"},
    config=config,
    undo=undo,
    theirs=Names("beit", "encoder.layer.", BEIT_BLOCK, BEIT_AROUND).theirs,
    base="beit",
)
