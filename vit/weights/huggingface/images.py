"""The vision tower of a transformers config: ViT, DINOv2, DINOv2 with registers."""

from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.huggingface.config import activation, hidden_width, num_classes


def build_vision(family: str, config: dict[str, Any], state: dict[str, Tensor]) -> VisionTransformer:
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
    for name in ("pooler.0.weight", "pooler.0.bias"):
        state.pop(name, None)  # of a ViT without a head: untrained and unused
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
        pool="cls_mean" if dino and classes else "cls",
    )


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
