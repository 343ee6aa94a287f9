"""CLIP and SigLIP: their image halves, and CLIP's text encoder."""

from dataclasses import replace
from typing import Any

import torch

from vit.export.safetensors.huggingface.counterpart import (
    Architecture,
    Counterpart,
    NoCounterpart,
    State,
    nothing,
    text_fields,
)
from vit.export.safetensors.huggingface.families.grid import (
    image_config,
    rows_of_positions,
    unflatten_patches,
)
from vit.weights.huggingface.families.clip_text import LEGACY_END
from vit.weights.huggingface.families.clip_text import NAMES as TEXT_NAMES
from vit.weights.huggingface.names import CLIP_AROUND, CLIP_BLOCK, Names

THEIRS = Names("vision_model", "encoder.layers.", CLIP_BLOCK, CLIP_AROUND).theirs


def clip_config(ours: Architecture) -> dict[str, Any]:
    """Fields of the config of images."""
    if ours["projection"] is not None:
        raise NoCounterpart(f"projection is {ours['projection']}, and there it is none")
    return image_config(ours)


def projected_config(ours: Architecture) -> dict[str, Any]:
    """Likewise, with a projection."""
    return image_config(ours) | {"projection_dim": ours["projection"]}


def nested_clip_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json` of both halves, of which a classifier has one."""
    return {"vision_config": clip_config(ours)}


def undo_clip(state: State, ours: Architecture) -> None:
    """The norm after the pool is the last one's name; a classifier has one that it does not read."""
    unflatten_patches(state, ours)
    rows_of_positions(state, 1, embedding=True)
    if "class_token" in state:
        state["class_token"] = state["class_token"].flatten()
    for part, usual in (("weight", 1.0), ("bias", 0.0)):
        unread = torch.full((ours["width"],), usual)
        state[f"encoder.norm.{part}"] = state.pop(f"pool_norm.{part}", unread)


def siglip_config(ours: Architecture) -> dict[str, Any]:
    """Fields of the config of images."""
    return image_config(ours) | {"vision_use_head": ours["pool"] == "attention"}


def nested_siglip_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json` of both halves, of which a classifier has one."""
    return {"vision_config": siglip_config(ours)}


def undo_siglip(state: State, ours: Architecture) -> None:
    """Query, key and value of the pool are one tensor."""
    unflatten_patches(state, ours)
    rows_of_positions(state, 0, embedding=True)
    for part in ("weight", "bias"):
        names = [f"pool.attention.{name}.{part}" for name in ("query", "key", "value")]
        if state.keys() >= set(names):
            state[f"head.attention.in_proj_{part}"] = torch.cat([state.pop(name) for name in names])


def text_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json` of CLIP's text encoder."""
    if ours["projections"]:
        raise NoCounterpart("a projection follows the pool, and there is none")
    return projected_text_config(ours)


def projected_text_config(ours: Architecture) -> dict[str, Any]:
    """Likewise, with a projection."""
    projections = ours["projections"]
    end = {"eos_token_id": LEGACY_END if ours["end"] == "highest" else ours["end"]}
    return text_fields(ours) | end | ({"projection_dim": projections[0][0]} if projections else {})


CLIP = Counterpart(
    kind="clip_vision_model",
    classes={"encoder": "CLIPVisionModel"},
    config=clip_config,
    undo=undo_clip,
    theirs=THEIRS,
    base="vision_model",
    heads=("classifier.", "visual_projection."),
    always=True,
)
CLIP_PROJECTED = replace(CLIP, classes={"encoder": "CLIPVisionModelWithProjection"}, config=projected_config)
CLIP_CLASSIFIER = replace(
    CLIP, kind="clip", classes={"classifier": "CLIPForImageClassification"}, config=nested_clip_config
)
SIGLIP = replace(
    CLIP,
    kind="siglip_vision_model",
    classes={"encoder": "SiglipVisionModel"},
    config=siglip_config,
    undo=undo_siglip,
)
SIGLIP_CLASSIFIER = replace(
    SIGLIP, kind="siglip", classes={"classifier": "SiglipForImageClassification"}, config=nested_siglip_config
)
CLIP_TEXT = Counterpart(
    kind="clip_text_model",
    classes={"encoder": "CLIPTextModel"},
    config=text_config,
    undo=nothing,
    theirs=TEXT_NAMES.theirs,
    base="text_model",
    heads=("text_projection.",),
    always=True,
)
CLIP_TEXT_PROJECTED = replace(
    CLIP_TEXT, classes={"encoder": "CLIPTextModelWithProjection"}, config=projected_text_config
)
