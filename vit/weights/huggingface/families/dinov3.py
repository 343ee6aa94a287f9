"""DINOv3's vision transformers (Siméoni et al. 2025): rotary patches, registers, a plain or a gated MLP."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.vision import VisionTransformer
from vit.weights.huggingface.families.family import Family
from vit.weights.huggingface.families.grid import block_of, flatten_patches, pixels


def build_dinov3(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it.

    Shifts and scales of coordinates (`pos_embed_shift`, `_jitter`, `_rescale`) are of training alone.
    """
    flatten_patches(state)
    registers = config.get("num_register_tokens", 0)
    if not registers:
        state.pop("registers", None)  # theirs is a tensor without rows
    block = block_of(
        config,
        state,
        gated=bool(config.get("use_gated_mlp", False)),
        qkv_bias=tuple(config[f"{name}_bias"] for name in ("query", "key", "value")),
        output_bias=config["proj_bias"],
        mlp_bias=config["mlp_bias"],
        layer_scale=1.0,
    )
    return VisionTransformer(
        0,
        block=block,
        **pixels(config),
        registers=registers,
        positions="none",
        relative={"kind": "rotary", "temperature": float(config["rope_theta"]), "precision": "full"},
    )


DINOV3 = Family(
    prefix="DINOv3ViT",
    reads="image",
    tasks={"Model": "encoder", "Backbone": "encoder"},
    build=build_dinov3,
)
