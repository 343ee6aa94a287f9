"""ViT, and what differs from it in tokens, pool or MLP: DeiT, MAE, MSN, I-JEPA, DINOv2 (and registers)."""

from collections.abc import Mapping
from dataclasses import replace
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
    pooler_of,
)

DINO = ("dinov2", "dinov2_with_registers")
# Tokens that have a row in the table of positions; a distillation token is our first register.
PREFIX: dict[str, tuple[str, ...]] = {"ijepa": (), "deit": ("class_token", "registers")}


def build_vision(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it."""
    flatten_patches(state)
    swiglu = bool(config.get("use_swiglu_ffn"))
    if swiglu:
        _split_gates(state)
    block = block_of(
        config,
        state,
        head_width=config.get("head_dim"),
        qkv_bias=config.get("qkv_bias", True),
        layer_scale=1.0 if family in DINO else None,
        **({"gated": True, "activation": "silu"} if swiglu else {}),
    )
    model = VisionTransformer(
        num_classes(state),
        block=block,
        **pixels(config),
        **_tokens(family, config, state),
        positions_antialias=family == "dinov2_with_registers",
        pool=_pool(family, state),
        pooler=pooler_of(config, state),
    )
    if family == "vit_mae" and config.get("mask_ratio"):
        model.source["mask_ratio"] = f"0: all patches are read; {config['mask_ratio']} in pretraining"
    return model


def _tokens(family: str, config: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Any]:
    """The tokens before the patches, with their positions."""
    prefix = PREFIX.get(family, ("class_token",))
    place_positions(family, state, grid_of(config), prefix)
    registers = state["registers"].shape[1] if "registers" in state else 0
    if not registers:
        state.pop("registers", None)  # theirs is a tensor without rows
    return {"class_token": bool(prefix), "registers": registers}


def _pool(family: str, state: dict[str, Tensor]) -> str:
    """What the head reads."""
    if family == "ijepa":
        if "pooler.0.weight" in state:
            raise VitError(
                "cannot import this ijepa: its pooler reads the first patch, which vit does not do; "
                "add_pooling_layer=False leaves it out"
            )
        return "mean"
    if "other_head.weight" in state:
        _join_heads(state)
        return "prefix"
    return "cls_mean" if family in DINO and "head.weight" in state else "cls"


def _join_heads(state: dict[str, Tensor]) -> None:
    """The mean of two heads is one that reads both tokens (Touvron et al. 2021, "DeiT", section 4)."""
    state["head.weight"] = torch.cat([state["head.weight"], state.pop("other_head.weight")], 1) / 2
    state["head.bias"] = (state["head.bias"] + state.pop("other_head.bias")) / 2


def _split_gates(state: dict[str, Tensor]) -> None:
    """Earlier versions hold gate and hidden layer as one, `weights_in`."""
    for name in [name for name in state if ".mlp.weights_in." in name]:
        gate, expand = state.pop(name).chunk(2)
        state[name.replace("weights_in", "gate")] = gate
        state[name.replace("weights_in", "expand")] = expand


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "Backbone": "encoder",
    "ForMaskedImageModeling": "pretraining",
    "ForImageClassification": "classifier",
}
VIT = Family(prefix="ViT", reads="image", tasks=TASKS, build=build_vision)
DEIT = replace(
    VIT,
    prefix="DeiT",
    tasks=TASKS | {"ForImageClassificationWithTeacher": "classifier"},
    heads=("classifier.", "cls_classifier.", "distillation_classifier."),
)
VIT_MAE = replace(
    VIT,
    prefix="ViTMAE",
    tasks={"Model": "encoder", "ForPreTraining": "pretraining"},
    heads=("decoder.",),
)
VIT_MSN = replace(VIT, prefix="ViTMSN")
IJEPA = replace(VIT, prefix="IJepa")
DINOV2 = replace(VIT, prefix="Dinov2")
DINOV2_WITH_REGISTERS = replace(VIT, prefix="Dinov2WithRegisters")
