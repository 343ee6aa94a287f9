"""What all families have in common: blocks, norms, pool and head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vit.weights.timm.held import Named
from vit.weights.timm.layers.blocks import blocks_tensors, read_blocks
from vit.weights.timm.layers.embedding import EmbeddingPart
from vit.weights.timm.layers.norms import Norm, norm_tensors, norms_at, only_norm
from vit.weights.timm.layers.pools import head_layer, head_tensors, pool_tensors, read_pool
from vit.weights.timm.parts import DROPS, expect, find

NORMS = {"norm_pre": "embedding_norm", "norm": "encoder_norm", "fc_norm": "pool_norm"}
NORM_NAMES = {"norm_pre": "embedding_norm", "norm": "encoder.norm", "fc_norm": "pool_norm"}


@dataclass(frozen=True)
class Family:
    """A class of timm's image models.

    Args:
        systems: Which models have it, for messages.
        arguments: Its model -> the arguments of `vit.vision.VisionTransformer`; every part is looked at.
        tensors: Its model -> our names of tensors, and where it has them.
        convert: timm's own: (tensors of a file, model) -> tensors with the model's names and shapes.
    """

    systems: str
    arguments: Callable[[Any], dict[str, Any]]
    tensors: Callable[[Any], Named]
    convert: Callable[[dict[str, Tensor], Any], dict[str, Tensor]]


def tower_arguments_of(
    model: Any, embedding: EmbeddingPart, kinds: tuple[type, ...], *, whole: bool = False
) -> dict[str, Any]:
    """The arguments of our tower, without those of positions in attention.

    Args:
        model: timm's.
        embedding: What is before its blocks.
        kinds: The classes of block that the model's class may hold.
        whole: Whether its pool reads the prefix too.

    Raises:
        VitError: A part is not one of ours.
    """
    for path in ("pos_drop", "patch_drop", "head_drop"):
        if getattr(model, path, None) is not None:
            expect(model, path, DROPS)
    block = read_blocks(model, kinds)
    found = norms_at(model, [path for path in NORMS if hasattr(model, path)])
    only_norm({"blocks.0": Norm(block.norm_kind, block.norm_eps), **embedding.norms, **found})
    head = head_layer(model)
    pool = read_pool(model, class_token=embedding.arguments["class_token"], whole=whole)
    return {
        **embedding.arguments,
        "classes": 0 if head is None else head.out_features,
        "block": block,
        "depth": len(find(model, "blocks")),
        **pool,
        **{ours: path in found for path, ours in NORMS.items()},
    }


def body_tensors(model: Any, order: Tensor | None = None) -> Named:
    """The tensors of blocks, norms, pool and head.

    Args:
        model: A model that `tower_arguments_of` takes.
        order: Of the channels of each head, as in `vit.weights.timm.layers.attention.attention_tensors`.
    """
    yield from blocks_tensors(model, order)
    for path, name in NORM_NAMES.items():
        yield from norm_tensors(find(model, path), name)
    yield from pool_tensors(model)
    yield from head_tensors(model)
