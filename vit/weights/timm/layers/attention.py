"""Attention in all its classes: fields of `BlockSpec`, and its tensors."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from timm.models.beit import Attention as BeitAttention
from timm.models.eva import EvaAttention
from torch import Tensor, nn

from vit.weights.timm.held import Named, linear_tensors, ordered
from vit.weights.timm.layers.mlp import stacked_parts
from vit.weights.timm.layers.norms import Norm, norm_tensors, norms_at
from vit.weights.timm.parts import DROPS, expect, expect_linear, find, only_value, refuse

PARTS = ("query", "key", "value")
# Attention with these has a bias on queries and values apart from the stacked layer, and none on keys.
APART = (EvaAttention, BeitAttention)


class Projection(NamedTuple):
    """Of queries, keys or values.

    Args:
        part: Ours.
        weight: (H K, D).
        bias: (H K,), or None.
    """

    part: str
    weight: Tensor
    bias: Tensor | None


class AttentionPart(NamedTuple):
    """Attention.

    Args:
        fields: Fields of `BlockSpec`.
        output_bias: Whether the output projection has one.
        norms: By path.
    """

    fields: dict[str, Any]
    output_bias: bool
    norms: dict[str, Norm]


def read_attention(model: nn.Module, at: str, width: int, kinds: Iterable[type]) -> AttentionPart:
    """The attention at a path.

    Args:
        model: timm's.
        at: Path of the attention.
        width: D.
        kinds: The classes that the block around it may hold.

    Raises:
        VitError: A part of it is not one of ours.
    """
    attention = expect(model, at, kinds)
    for name in ("attn_drop", "proj_drop"):
        expect(model, f"{at}.{name}", DROPS)
    if getattr(attention, "gate", None) is not None:
        refuse(f"{at}.gate", type(attention.gate).__name__, "none")
    groups = getattr(attention, "num_kv_groups", 1)
    if groups != 1:
        refuse(
            f"{at}.num_kv_heads", attention.num_kv_heads, f"{attention.num_heads}, one per head of queries"
        )
    inner = _inner_width(model, at, width)
    head_width = require_scale(attention, at, inner)
    flags = [projection.bias is not None for projection in projections(model, at)]
    mixed = norms_at(model, [f"{at}.norm"] if hasattr(attention, "norm") else [])
    qk_norms = norms_at(model, [f"{at}.q_norm", f"{at}.k_norm"] if hasattr(attention, "q_norm") else [])
    if qk_norms:
        only_value({f"a norm in {at}.{name}": f"{at}.{name}" in qk_norms for name in ("q_norm", "k_norm")})
    output = expect_linear(model, f"{at}.proj", (width, inner))
    fields = {
        "heads": attention.num_heads,
        "head_width": None if inner == width else head_width,
        "qkv_bias": flags[0] if len(set(flags)) == 1 else tuple(flags),
        "qk_norm": bool(qk_norms),
        "mixed_norm": bool(mixed),
    }
    return AttentionPart(fields, output.bias is not None, mixed | qk_norms)


def require_scale(attention: Any, at: str, inner: int) -> int:
    """K, of heads that divide `inner` channels; another factor on the scores than 1 / sqrt(K) is refused.

    Raises:
        VitError: It is another.
    """
    usual = (inner // attention.num_heads) ** -0.5
    if inner % attention.num_heads or attention.scale != usual:
        refuse(f"{at}.scale", attention.scale, f"{usual}, of {attention.num_heads} heads of {inner} channels")
    return int(inner // attention.num_heads)


def projections(model: nn.Module, at: str) -> Iterator[Projection]:
    """Those of queries, keys and values, in this order, of an attention whose class is looked at.

    Raises:
        VitError: A bias that timm's class does not read, or one on keys where it has none.
    """
    attention = find(model, at)
    if find(model, f"{at}.qkv") is None:
        for part, name in zip(PARTS, ("q_proj", "k_proj", "v_proj"), strict=True):
            layer = find(model, f"{at}.{name}")
            yield Projection(part, layer.weight, layer.bias)
        return
    stacked = find(model, f"{at}.qkv")
    weights, biases = stacked_parts(stacked, 3)
    if type(attention) in APART:
        if stacked.bias is not None:
            refuse(f"{at}.qkv.bias", "a tensor", "None: biases are in q_bias and v_bias")
        key = attention.k_bias
        if key is not None and not key.is_meta and bool(key.any()):
            refuse(f"{at}.k_bias", "not zero", "zero")
        biases = [attention.q_bias, None, attention.v_bias]
    yield from map(Projection, PARTS, weights, biases)


def attention_tensors(model: nn.Module, at: str, ours: str, order: Tensor | None = None) -> Named:
    """The tensors of the attention at a path, which `read_attention` takes, under the names of ours.

    Args:
        model: timm's.
        at: Path of the attention.
        ours: Name of ours.
        order: Of the channels of each head of queries and keys, int64 (K,): our pairs of rotated channels
            lie elsewhere; None: as they are.
    """
    attention = find(model, at)
    for part, weight, bias in projections(model, at):
        rows = None if order is None or part == "value" else _in_every_head(order, attention.num_heads)
        yield f"{ours}.{part}.weight", ordered(weight, rows)
        if bias is not None:
            yield f"{ours}.{part}.bias", ordered(bias, rows)
    for theirs, norm in {"q_norm": "query_norm", "k_norm": "key_norm"}.items():
        yield from norm_tensors(find(model, f"{at}.{theirs}"), f"{ours}.{norm}", order)
    yield from norm_tensors(find(model, f"{at}.norm"), f"{ours}.mixed_norm")
    yield from linear_tensors(find(model, f"{at}.proj"), f"{ours}.output")


def _inner_width(model: nn.Module, at: str, width: int) -> int:
    """H K, which the shapes of the projections must have."""
    attention = find(model, at)
    inner = attention.num_heads * attention.head_dim if hasattr(attention, "head_dim") else width
    if find(model, f"{at}.qkv") is None:
        for name in ("q_proj", "k_proj", "v_proj"):
            expect_linear(model, f"{at}.{name}", (inner, width))
    else:
        expect_linear(model, f"{at}.qkv", (3 * inner, width))
    return int(inner)


def _in_every_head(order: Tensor, heads: int) -> Tensor:
    """Rows of all heads: (H K,)."""
    return (torch.arange(heads)[:, None] * len(order) + order).flatten()
