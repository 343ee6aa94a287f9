"""ViT, DINOv2, DINOv2 with registers."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.core.pooler import POOLERS
from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.huggingface.config import activation, hidden_width, num_classes
from vit.weights.huggingface.families.family import Family, Task


def build_vision(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it."""
    if config.get("use_swiglu_ffn"):
        raise VitError(f"cannot import this {family}: its MLP is SwiGLU, which vit does not have")
    width = config["hidden_size"]
    sides = _pair(config["image_size"]), _pair(config["patch_size"])
    rows, cols = (side // patch for side, patch in zip(*sides, strict=True))
    classes = num_classes(state)
    state["tokenizer.project.weight"] = state["tokenizer.project.weight"].flatten(1)
    # A position of a prefix token is a part of the token itself.
    positions = state["positions.table"][0]
    state["class_token"] = state["class_token"] + positions[:1]
    state["positions.table"] = positions[1:].unflatten(0, (rows, cols))
    dino = family != "vit"
    return VisionTransformer(
        classes,
        sides[0],
        BlockSpec(
            width=width,
            heads=config["num_attention_heads"],
            mlp_ratio=hidden_width(state) / width,
            activation=activation(config),
            qkv_bias=config.get("qkv_bias", True),
            layer_scale=1.0 if dino else None,
            norm_eps=config["layer_norm_eps"],
        ),
        channels=config.get("num_channels", 3),
        patch_size=sides[1],
        depth=config["num_hidden_layers"],
        registers=config.get("num_register_tokens", 0) if "registers" in state else 0,
        positions_antialias=family == "dinov2_with_registers",
        pool="cls_mean" if dino and classes else "cls",
        pooler=_pooler(config, state),
    )


def _pooler(config: dict[str, Any], state: dict[str, Tensor]) -> str | None:
    """The activation of the pooler, where there is one: that of a ViT without a head."""
    if "pooler.0.weight" not in state:
        return None
    kind, (after, before) = config.get("pooler_act", "tanh"), state["pooler.0.weight"].shape
    if kind not in POOLERS:
        raise VitError(
            f"cannot import a pooler with the activation {kind}, expected one of {', '.join(POOLERS)}"
        )
    if after != before:
        raise VitError(f"cannot import a pooler from {before} to {after} channels: vit's keeps their number")
    return str(kind)


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "Backbone": "encoder",
    "ForMaskedImageModeling": "pretraining",
    "ForImageClassification": "classifier",
}
VIT = Family(prefix="ViT", reads="image", tasks=TASKS, build=build_vision)
DINOV2 = Family(prefix="Dinov2", reads="image", tasks=TASKS, build=build_vision)
DINOV2_WITH_REGISTERS = Family(prefix="Dinov2WithRegisters", reads="image", tasks=TASKS, build=build_vision)
