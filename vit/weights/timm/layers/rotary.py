"""Rotary positions: arguments of our tower, their tensors, and the order of rotated channels."""

from typing import Any

import torch
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat, RotaryEmbeddingDinoV3, RotaryEmbeddingMixed
from torch import Tensor

from vit.weights.timm.held import Named, ordered
from vit.weights.timm.parts import expect, find, only_value, refuse

KINDS = (RotaryEmbeddingCat, RotaryEmbeddingDinoV3, RotaryEmbeddingMixed)
INDEXING = ("ij", "xy")  # rows first, columns first


def read_rotary(model: Any) -> dict[str, Any] | None:
    """`relative`, an argument of our tower; None where the model has no rotary positions.

    Raises:
        VitError: They are not ours, or the blocks do not fit them.
    """
    if model.rope is None:
        return None
    rope = expect(model, "rope", KINDS)
    if rope.grid_indexing not in INDEXING:
        refuse("rope.grid_indexing", repr(rope.grid_indexing), f"one of {', '.join(INDEXING)}")
    _require_blocks(model)
    if type(rope) is RotaryEmbeddingMixed:
        return {"kind": "rotary_mixed"}
    _require_width(model, rope.dim)
    common = {"kind": "rotary", "temperature": float(rope.temperature), "offset": float(rope.grid_offset)}
    # timm computes the angles of a fixed grid once, in float32, and those of others in the model's dtype.
    cached = rope.feat_shape is not None
    if type(rope) is RotaryEmbeddingDinoV3:
        if rope.normalize_coords != "separate":
            refuse("rope.normalize_coords", repr(rope.normalize_coords), "'separate'")
        if rope.min_period is not None or rope.max_period is not None:
            refuse("rope", "given by its shortest and longest period", "one given by its temperature")
        return common | {"periods": True, "precision": "float32" if cached else "full"}
    if rope.in_pixels or rope.grid_type != "index":
        refuse("rope.grid_type", repr(rope.grid_type), "'index', with frequencies by temperature")
    grid = rope.ref_feat_shape
    return common | {
        "coordinates": "index",
        "grid": None if grid is None else list(grid),
        "precision": "float32" if cached else "rounded",
    }


def rotary_tensors(model: Any) -> Named:
    """The learned frequencies, of rows first; nothing where frequencies are not learned."""
    rope = find(model, "rope")
    if type(rope) is RotaryEmbeddingMixed:
        columns_first = rope.grid_indexing == "xy"
        yield "relative.frequency", ordered(rope.freqs, torch.tensor([1, 0]) if columns_first else None)


def rotated_channels(model: Any) -> Tensor | None:
    """Which of timm's channels each of our channels of a head is, int64 (K,); None: they are the same.

    Our pairs are channels i and i + K/2, and those of rows come first. timm's may be 2 i and 2 i + 1, and
    those of columns may come first.
    """
    rope = find(model, "rope")
    if rope is None:
        return None
    mixed = type(rope) is RotaryEmbeddingMixed  # whose pairs have no axis
    pairs = rope.freqs.shape[-1] if mixed else rope.dim // 2
    pair, side = torch.arange(pairs).repeat(2), torch.arange(2).repeat_interleave(pairs)
    if rope.grid_indexing == "xy" and not mixed:
        pair = (pair + pairs // 2) % pairs
    order = pair + side * pairs if getattr(rope, "rotate_half", False) else 2 * pair + side
    return None if torch.equal(order, torch.arange(2 * pairs)) else order


def _require_blocks(model: Any) -> None:
    """Refuse attention that reads its rotations otherwise than they are made."""
    half = getattr(find(model, "rope"), "rotate_half", False)
    expected = {"rotate_half of rope": half}
    prefix = {"num_prefix_tokens": model.num_prefix_tokens}
    for layer in range(len(find(model, "blocks"))):
        at = f"blocks.{layer}.attn"
        attention = find(model, at)
        expected[f"{at}.rotate_half"] = getattr(attention, "rotate_half", False)
        prefix[f"{at}.num_prefix_tokens"] = attention.num_prefix_tokens
    only_value(expected)
    only_value(prefix)


def _require_width(model: Any, width: int) -> None:
    """Refuse rotations of another number of channels than a head has."""
    attention = find(model, "blocks.0.attn")
    if attention.head_dim != width:
        refuse("rope.dim", width, f"{attention.head_dim}, the channels of a head")
