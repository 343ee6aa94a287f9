"""Towers from plain arguments, those of their blocks among them."""

from typing import Any

from vit.core import BlockSpec
from vit.weights.models import make_tower


def vision_tower(classes: int, image_size: tuple[int, int], **arguments: object) -> Any:
    sizes = {"classes": classes, "image_size": image_size, "mlp_ratio": 4.0}
    return make_tower({"tower": "vision", **sizes, **arguments})


def text_tower(classes: int, vocabulary: int, **arguments: object) -> Any:
    sizes = {"classes": classes, "vocabulary": vocabulary, "mlp_ratio": 4.0}
    return make_tower({"tower": "text", **sizes, **arguments})


def block_spec(width: int, heads: int, hidden: int | None = None, **arguments: Any) -> BlockSpec:
    """`hidden` is the MLP's width."""
    return BlockSpec(
        width=width, heads=heads, mlp_ratio=4.0 if hidden is None else hidden / width, **arguments
    )
