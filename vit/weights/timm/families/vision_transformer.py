"""timm's `VisionTransformer`, and `VisionTransformerDistilled`, which has a token of distillation."""

from typing import Any

import torch
from timm.models.vision_transformer import Block, ParallelScalingBlock, ResPostBlock
from torch import Tensor

from vit.weights.timm.families.family import body_tensors, tower_arguments_of
from vit.weights.timm.held import Held, Named
from vit.weights.timm.layers.embedding import embedding_tensors, read_embedding
from vit.weights.timm.layers.pools import head_layer
from vit.weights.timm.parts import find, kind_name, refuse

BLOCKS = (Block, ResPostBlock, ParallelScalingBlock)


def arguments(model: Any) -> dict[str, Any]:
    """The arguments of our tower.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    return tower_arguments_of(model, read_embedding(model), BLOCKS, whole=model.pool_include_prefix)


def tensors(model: Any) -> Named:
    """timm's tensors under our names."""
    yield from embedding_tensors(model)
    yield from body_tensors(model)


def distilled_arguments(model: Any) -> dict[str, Any]:
    """Likewise, for a class token and a token of distillation with a linear head each.

    Raises:
        VitError: A part of the model is not one of ours.
    """
    heads = {name: head_layer(model, name) for name in ("head", "head_dist")}
    for name, head in heads.items():
        if head is None:
            refuse(name, kind_name(find(model, name)), "a linear layer: the logits are the mean of two heads")
    first, second = (head.out_features for head in heads.values() if head is not None)
    if first != second:
        refuse("head_dist", f"a layer of {second} classes", f"{first}, as head has")
    return arguments(model) | {"pool": "prefix"}


def distilled_tensors(model: Any) -> Named:
    """Likewise; the mean of both heads is one head on both tokens (Touvron et al. 2021, section 4)."""
    for name, held in tensors(model):
        if not name.startswith("head."):
            yield name, held
    heads = [head for head in (head_layer(model, name) for name in ("head", "head_dist")) if head is not None]
    yield "head.weight", _half_side_by_side([head.weight for head in heads])
    zeros = heads[0].weight.new_zeros(len(heads[0].weight))
    yield "head.bias", _half_sum(zeros, [head.bias for head in heads if head.bias is not None])


def _half_side_by_side(weights: list[Tensor]) -> Held:
    """Half of two matrices as one that reads both tokens."""

    def write(value: Tensor) -> None:
        for weight, part in zip(weights, value.chunk(len(weights), 1), strict=True):
            weight.copy_(2 * part)

    return Held(lambda: torch.cat(weights, 1) / 2, write)


def _half_sum(zeros: Tensor, biases: list[Tensor]) -> Held:
    """Half of the sum of two biases or fewer; `zeros` where there are none."""

    def write(value: Tensor) -> None:
        for bias in biases:
            bias.copy_(2 * value / len(biases))

    return Held(lambda: torch.stack([zeros, *biases]).sum(0) / 2, write)
