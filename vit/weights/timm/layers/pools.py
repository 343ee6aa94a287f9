"""After the blocks: pool and head."""

from typing import Any

import timm.layers
from torch import nn

from vit.core import BlockSpec
from vit.weights.timm.held import Named, always, linear_tensors, same
from vit.weights.timm.layers.attention import require_scale
from vit.weights.timm.layers.mlp import mlp_tensors, read_mlp, stacked_parts
from vit.weights.timm.layers.norms import norm_tensors, norms_at, only_norm
from vit.weights.timm.parts import (
    DROPS,
    expect,
    expect_linear,
    find,
    kind_name,
    refuse,
    unwrapped,
)

POOLS = {"token": "cls", "avg": "mean", "map": "attention"}
WHOLE = {"cls": "cls", "mean": "mean_all", "attention": "attention_all"}  # those that read the prefix too
POOL_LINEARS = {"q": "attention.query", "proj": "attention.output"}


def read_pool(model: Any, *, class_token: bool, whole: bool) -> dict[str, Any]:
    """`pool` and `pool_block`, arguments of our tower.

    Args:
        model: timm's.
        class_token: Whether it has one.
        whole: Whether its pool reads the prefix too.

    Raises:
        VitError: It is not one of ours.
    """
    attention = getattr(model, "attn_pool", None) is not None  # timm uses it whatever global_pool says
    kind = "map" if attention else model.global_pool
    if kind not in POOLS:
        refuse("global_pool", repr(kind), f"one of {', '.join(POOLS)}")
    if kind == "token" and not class_token:
        refuse("global_pool", repr(kind), "another: the model has no class token")
    pool = POOLS[kind]
    return {
        "pool": WHOLE[pool] if whole and model.num_prefix_tokens else pool,
        "pool_block": _pool_spec(model) if attention else None,
    }


def pool_tensors(model: Any) -> Named:
    """The tensors of the pool that `read_pool` takes."""
    if getattr(model, "attn_pool", None) is None:
        return
    yield "pool.query", same(find(model, "attn_pool").latent)
    stacked = find(model, "attn_pool.kv")
    for part, weight, bias in zip(("key", "value"), *stacked_parts(stacked, 2), strict=True):
        yield f"pool.attention.{part}.weight", same(weight)
        if bias is not None:
            yield f"pool.attention.{part}.bias", same(bias)
    for theirs, ours in POOL_LINEARS.items():
        yield from linear_tensors(find(model, f"attn_pool.{theirs}"), f"pool.{ours}")
    yield from mlp_tensors(model, "attn_pool.mlp", "pool.mlp")
    yield from norm_tensors(find(model, "attn_pool.norm"), "pool.mlp_norm")


def head_layer(model: Any, name: str = "head") -> nn.Linear | None:
    """The linear layer of a head; None where the head is an identity.

    Layers of dropout beside it in a `Sequential` do nothing in eval mode.

    Raises:
        VitError: It is something else.
    """
    head = find(model, name)
    layers = [unwrapped(layer) for layer in (head if type(head) is nn.Sequential else [head])]
    layers = [layer for layer in layers if type(layer) not in (nn.Identity, nn.Dropout)]
    if not layers:
        return None
    if len(layers) > 1 or type(layers[0]) is not nn.Linear:
        refuse(name, kind_name(head), "one linear layer, with or without dropout beside it, or an identity")
    if layers[0].in_features != model.embed_dim:
        refuse(name, f"a layer of {layers[0].in_features} features", f"the model's {model.embed_dim}")
    return layers[0]


def head_tensors(model: Any) -> Named:
    """The tensors of the head that `head_layer` gives; zeros where it has no bias."""
    head = head_layer(model)
    if head is not None:
        yield "head.weight", same(head.weight)
        none = always(head.weight.new_zeros(len(head.weight)))
        yield "head.bias", none if head.bias is None else same(head.bias)


def _pool_spec(model: Any) -> BlockSpec:
    """The attention pool, whose biases, heads and activation are not those of the blocks."""
    width = model.embed_dim
    pool = expect(model, "attn_pool", (timm.layers.AttentionPoolLatent,))
    for name in ("q_norm", "k_norm"):
        expect(model, f"attn_pool.{name}", (nn.Identity,))
    expect(model, "attn_pool.proj_drop", DROPS)
    if tuple(pool.latent.shape) != (1, 1, width):
        refuse("attn_pool.latent", f"of shape {tuple(pool.latent.shape)}", f"(1, 1, {width}): one query")
    if pool.pool != "token" or pool.pos_embed is not None:
        refuse("attn_pool", "one with positions, or a mean of queries", "one query without positions")
    require_scale(pool, "attn_pool", width)
    query = expect_linear(model, "attn_pool.q", (width, width)).bias is not None
    others = expect_linear(model, "attn_pool.kv", (2 * width, width)).bias is not None
    output = expect_linear(model, "attn_pool.proj", (width, width)).bias is not None
    mlp = read_mlp(model, "attn_pool.mlp", width)
    norms = norms_at(model, ["attn_pool.norm"], required=True) | mlp.norms
    return BlockSpec(
        width=width,
        heads=pool.num_heads,
        mlp_ratio=mlp.hidden / width,
        qkv_bias=query if query == others else (query, others, others),
        output_bias=output,
        mlp_bias=None if mlp.bias == output else mlp.bias,
        **mlp.fields,
        **only_norm(norms),
    )
