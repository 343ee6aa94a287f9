"""The image half of CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023), alone or with its text half."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.huggingface.config import num_classes
from vit.weights.huggingface.families.family import Family
from vit.weights.huggingface.families.grid import (
    block_of,
    flatten_patches,
    grid_of,
    pixels,
    place_positions,
)
from vit.weights.huggingface.names import our_name

TEXT_HALF = ("text_model.", "text_projection.", "logit_scale", "logit_bias")
# A nested config says only what differs from these.
CLIP_USUAL: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
SIGLIP_USUAL = CLIP_USUAL | {"patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
SIGLIP_USUAL |= {"vision_use_head": True}


def image_name(name: str) -> str | None:
    """Their name of a tensor -> ours, as `our_name`; None also for the text half."""
    return None if name.startswith(TEXT_HALF) else our_name(name)


def build_clip(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it.

    States are those before the last norm, which is on the pooled class token alone. A classifier reads the
    mean of the patches, without that norm.
    """
    said = _image_config(family, config, CLIP_USUAL)
    flatten_patches(state)
    place_positions(family, state, grid_of(said), ("class_token",))
    classes = num_classes(state)
    if not classes:
        for part in ("weight", "bias"):
            state[f"pool_norm.{part}"] = state.pop(f"encoder.norm.{part}")
    projection = state.get("projection.weight")
    return _noted(
        family,
        VisionTransformer(
            classes,
            block=block_of(said, state),
            **pixels(said),
            patch_bias=False,
            positions_antialias=False,
            embedding_norm=True,
            encoder_norm=False,
            pool="mean" if classes else "cls",
            pool_norm=not classes,
            projection=None if projection is None else len(projection),
        ),
    )


def build_siglip(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it.

    A learned query pools; a classifier, and a model without that head, reads the mean of the patches.
    """
    said = _image_config(family, config, SIGLIP_USUAL)
    flatten_patches(state)
    place_positions(family, state, grid_of(said), ())
    classes = num_classes(state)
    attends = bool(said["vision_use_head"]) and not classes
    if attends:
        _split_pool(state)
    return _noted(
        family,
        VisionTransformer(
            classes,
            block=block_of(said, state),
            **pixels(said),
            class_token=False,
            positions_antialias=False,
            pool="attention" if attends else "mean",
        ),
    )


def _image_config(family: str, config: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """The config of the image half."""
    if family in ("clip", "siglip"):
        # Files of the first versions say it twice, and transformers follows the second.
        name = (
            "vision_config_dict" if family == "clip" and "vision_config_dict" in config else "vision_config"
        )
        said = config.get(name) or {}
        if not isinstance(said, dict):
            raise VitError(f"cannot import this {family}: its {name} is {said!r:.40}, expected an object")
        return usual | said
    return usual | config


def _noted(family: str, model: VisionTransformer) -> VisionTransformer:
    """The tower, whose source says that the text half was left out."""
    if family in ("clip", "siglip"):
        model.source["half"] = f"images; the text half of this {family} is left out"
    return model


def _split_pool(state: dict[str, Tensor]) -> None:
    """Theirs holds query, key and value as one tensor."""
    for part in ("weight", "bias"):
        joined = state.pop(f"head.attention.in_proj_{part}")
        for name, tensor in zip(("query", "key", "value"), joined.chunk(3), strict=True):
            state[f"pool.attention.{name}.{part}"] = tensor


CLIP = Family(
    prefix="CLIP",
    reads="image",
    tasks={
        "Model": "encoder",
        "VisionModel": "encoder",
        "VisionModelWithProjection": "encoder",
        "ForImageClassification": "classifier",
    },
    build=build_clip,
    name=image_name,
    pooler=("post_layernorm.", "visual_projection."),
    heads=("classifier.",),
)
SIGLIP = replace(
    CLIP,
    prefix="Siglip",
    tasks={"Model": "encoder", "VisionModel": "encoder", "ForImageClassification": "classifier"},
    build=build_siglip,
    pooler=("head.",),
)
