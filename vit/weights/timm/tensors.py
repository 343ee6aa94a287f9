"""The tensors of a timm `VisionTransformer` under the names of ours."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vit.weights.timm.parts import find
from vit.weights.timm.tower import head_layer

Named = Iterator[tuple[str, Tensor]]

# Of a block, and of an attention pool: timm's name, ours.
BLOCK_LINEARS = {"attn.proj": "attention.output", "mlp.fc1": "mlp.expand", "mlp.fc2": "mlp.contract"}
BLOCK_NORMS = {
    "norm1": "attention_norm",
    "attn.q_norm": "attention.query_norm",
    "attn.k_norm": "attention.key_norm",
    "norm2": "mlp_norm",
}
BLOCK_SCALES = {"ls1": "attention_scale", "ls2": "mlp_scale"}
POOL_LINEARS = {
    "q": "attention.query",
    "proj": "attention.output",
    "mlp.fc1": "mlp.expand",
    "mlp.fc2": "mlp.contract",
}


def converted(model: Any) -> Named:
    """Yield our names and timm's tensors.

    Args:
        model: A model that `vit.weights.timm.tower.tower_arguments` takes.
    """
    project = find(model, "patch_embed.proj")
    yield "tokenizer.project.weight", project.weight.flatten(1)
    if project.bias is not None:
        yield "tokenizer.project.bias", project.bias
    yield from _tokens(model)
    for layer in range(len(find(model, "blocks"))):
        yield from _block(model, f"blocks.{layer}.", f"encoder.blocks.{layer}.")
    for theirs, ours in {
        "norm_pre": "embedding_norm",
        "norm": "encoder.norm",
        "fc_norm": "pool_norm",
    }.items():
        yield from _norm(find(model, theirs), ours)
    if getattr(model, "attn_pool", None) is not None:
        yield from _attention_pool(model)
    head = head_layer(model)
    if head is not None:
        yield "head.weight", head.weight
        yield "head.bias", head.weight.new_zeros(len(head.weight)) if head.bias is None else head.bias


def _tokens(model: Any) -> Named:
    """Class token, registers and positions.

    timm adds a position to the prefix tokens too; for us that is a part of the tokens themselves.
    """
    positions = model.pos_embed  # (1, N or patches, D)
    length = 0 if model.no_embed_class else model.num_prefix_tokens
    tokens = [token for token in (model.cls_token, model.reg_token) if token is not None]
    prefix = torch.cat([*tokens, positions[:, :0]], 1)
    if length:
        prefix = prefix + positions[:, :length]
    if model.cls_token is not None:
        yield "class_token", prefix[:, :1]
    if model.reg_token is not None:
        yield "registers", prefix[:, int(model.cls_token is not None) :]
    yield "positions.table", positions[0, length:].unflatten(0, tuple(find(model, "patch_embed").grid_size))


def _block(model: Any, theirs: str, ours: str) -> Named:
    yield from _split(find(model, theirs + "attn.qkv"), ours + "attention.", ("query", "key", "value"))
    for their_part, our_part in BLOCK_LINEARS.items():
        yield from _linear(find(model, theirs + their_part), ours + our_part)
    for their_part, our_part in BLOCK_NORMS.items():
        yield from _norm(find(model, theirs + their_part), ours + our_part)
    for their_part, our_part in BLOCK_SCALES.items():
        scale = find(model, theirs + their_part)
        if not isinstance(scale, nn.Identity):
            yield f"{ours}{our_part}.factor", scale.gamma


def _attention_pool(model: Any) -> Named:
    yield "pool.query", find(model, "attn_pool").latent
    yield from _split(find(model, "attn_pool.kv"), "pool.attention.", ("key", "value"))
    for theirs, ours in POOL_LINEARS.items():
        yield from _linear(find(model, f"attn_pool.{theirs}"), f"pool.{ours}")
    yield from _norm(find(model, "attn_pool.norm"), "pool.mlp_norm")


def _linear(layer: nn.Linear, name: str) -> Named:
    yield f"{name}.weight", layer.weight
    if layer.bias is not None:
        yield f"{name}.bias", layer.bias


def _norm(norm: Any, name: str) -> Named:
    """Nothing for an identity; ones and zeros where a norm has no weight or bias."""
    if isinstance(norm, nn.Identity):
        return
    width = norm.normalized_shape
    yield f"{name}.weight", torch.ones(width) if norm.weight is None else norm.weight
    yield f"{name}.bias", torch.zeros(width) if norm.bias is None else norm.bias


def _split(layer: nn.Linear, prefix: str, names: tuple[str, ...]) -> Named:
    """One stacked projection into its parts."""
    for part, stacked in (("weight", layer.weight), ("bias", layer.bias)):
        if stacked is not None:
            for name, tensor in zip(names, stacked.chunk(len(names)), strict=True):
                yield f"{prefix}{name}.{part}", tensor
