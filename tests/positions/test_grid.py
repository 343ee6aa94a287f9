"""Positions of a grid inside attention: rotations and biases, against their formulas and timm."""

from math import pi
from typing import Any

import pytest
import torch
from timm.layers import create_rope_embed
from timm.layers.pos_embed_rel import RelPosBias
from torch import Tensor

from vit.positions import GRIDS, GridBias, GridRotary, MixedGridRotary, make_relative

from ..towers import block_spec

ROWS, COLS, PREFIX, HEADS, DEPTH, K = 3, 5, 2, 3, 2, 8
CPU = torch.device("cpu")


def angles_of(rotary: torch.nn.Module, *, dtype: torch.dtype = torch.float32, **size: int) -> list[Tensor]:
    """Of each layer, (1 or H, N, K/2) or (N, K/2), from the sines and cosines."""
    sizes = {"rows": ROWS, "cols": COLS, "prefix": PREFIX} | size
    relations = rotary(**sizes, device=CPU, dtype=dtype)
    return [torch.atan2(relation.rotation.sin, relation.rotation.cos) for relation in relations]


def same_turn(ours: Tensor, theirs: Tensor, tolerance: float = 1e-6) -> None:
    """Equal as rotations: angles differ by whole turns."""
    torch.testing.assert_close(ours.cos(), theirs.cos(), atol=tolerance, rtol=0)
    torch.testing.assert_close(ours.sin(), theirs.sin(), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, lambda index, length, size: 2 * pi * (2 * (index + 0.5) / length - 1)),
        ({"coordinates": "index"}, lambda index, length, size: index),
        ({"coordinates": "index", "offset": 1.0}, lambda index, length, size: index + 1),
        (
            {"coordinates": "index", "grid": (7, 11), "offset": 0.5},
            lambda index, length, size: (index + 0.5) / length * size,
        ),
    ],
    ids=["unit", "index", "offset", "grid"],
)
def test_angles_are_those_of_the_formula(options: dict[str, Any], place: Any) -> None:
    """Su et al. 2021, section 3.2, with half of the pairs for each axis."""
    angles = angles_of(GridRotary(K, DEPTH, temperature=13.0, **options))
    row, col = 2, 4
    frequency = [13.0 ** -(pair / 2) for pair in range(2)]
    expected = [place(row, ROWS, 7) * f for f in frequency] + [place(col, COLS, 11) * f for f in frequency]
    assert len(angles) == DEPTH
    same_turn(angles[0][PREFIX + row * COLS + col].double(), torch.tensor(expected, dtype=torch.float64))
    assert not angles[0][:PREFIX].any()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", ["cat", "dinov3"])
def test_rotations_are_timms_to_the_last_digit(kind: str, cached: bool) -> None:
    """Also those of a model of float64, of which timm computes a part in float32."""
    options: dict[str, Any] = {"temperature": 70.0, "feat_shape": [ROWS, COLS] if cached else None}
    ours: dict[str, Any] = {"temperature": 70.0}
    if kind == "cat":
        options |= {"in_pixels": False, "ref_feat_shape": [7, 11]}
        ours |= {"coordinates": "index", "grid": (7, 11), "precision": "float32" if cached else "rounded"}
    else:
        ours |= {"periods": True, "precision": "float32" if cached else "full"}
    theirs = create_rope_embed(kind, dim=K, num_heads=1, rotate_half=True, **options)
    for dtype in (torch.float32, torch.float64):
        theirs = theirs.to(dtype)
        embed = theirs.get_embed() if cached else theirs.get_embed(shape=[ROWS, COLS])
        sin, cos = embed.double().chunk(2, -1)
        rotation = GridRotary(K, DEPTH, **ours)(ROWS, COLS, 0, CPU, dtype)[0].rotation
        torch.testing.assert_close(rotation.cos.double(), cos[:, : K // 2], atol=1e-15, rtol=0)
        torch.testing.assert_close(rotation.sin.double(), sin[:, : K // 2], atol=1e-15, rtol=0)


def test_periods_and_frequencies_differ_by_rounding() -> None:
    angles = [angles_of(GridRotary(K, DEPTH, periods=periods))[0] for periods in (False, True)]
    same_turn(*angles, tolerance=2e-6)


def test_mixed_rotations_are_timms() -> None:
    theirs = create_rope_embed("mixed", dim=HEADS * K, num_heads=HEADS, depth=DEPTH, grid_indexing="ij")
    ours = MixedGridRotary(K, DEPTH, heads=HEADS)
    for dtype in (torch.float32, torch.float64):
        theirs, ours = theirs.to(dtype), ours.to(dtype)
        ours.load_state_dict({"frequency": theirs.freqs.detach()})
        sin, cos = theirs.get_embed(shape=[ROWS, COLS]).chunk(2, -1)  # (L, H, patches, K), each value twice
        for layer, relation in enumerate(ours(ROWS, COLS, PREFIX, CPU, dtype)):
            assert relation.rotation.cos.shape == (1, HEADS, PREFIX + ROWS * COLS, K // 2)
            pairs = (relation.rotation.cos[0, :, PREFIX:], relation.rotation.sin[0, :, PREFIX:])
            for part, expected in zip(pairs, (cos[layer], sin[layer]), strict=True):
                torch.testing.assert_close(part.to(dtype), expected[..., ::2], atol=1e-15, rtol=0)
            assert torch.equal(relation.rotation.cos[0, :, :PREFIX], torch.ones(HEADS, PREFIX, K // 2))


def test_mixed_frequencies_learn() -> None:
    ours = MixedGridRotary(K, DEPTH, heads=HEADS)
    sum(relation.rotation.sin.sum() for relation in ours(ROWS, COLS, PREFIX, CPU)).backward()
    assert ours.frequency.grad.abs().sum() > 0


@pytest.mark.parametrize("prefix", [0, 1])
def test_biases_are_timms(prefix: int) -> None:
    theirs = RelPosBias((ROWS, COLS), HEADS, prefix_tokens=prefix)
    flat = torch.randn_like(theirs.relative_position_bias_table)
    with torch.no_grad():
        theirs.relative_position_bias_table.copy_(flat)
    ours = GridBias(HEADS, DEPTH, rows=ROWS, cols=COLS, prefix_bias=bool(prefix), shared=True)
    offsets = (2 * ROWS - 1) * (2 * COLS - 1)
    state = {"table": flat[:offsets].T.reshape(1, HEADS, 2 * ROWS - 1, 2 * COLS - 1)}
    ours.load_state_dict(state | ({"prefix": flat[offsets:].T[None]} if prefix else {}))
    relations = ours(ROWS, COLS, prefix, CPU)
    assert len(relations) == DEPTH
    for relation in relations:
        torch.testing.assert_close(relation.bias, theirs.get_bias())


def test_layers_have_biases_of_their_own() -> None:
    ours = GridBias(HEADS, DEPTH, rows=ROWS, cols=COLS)
    with torch.no_grad():
        ours.table.copy_(torch.randn_like(ours.table))
    first, second = (relation.bias for relation in ours(ROWS, COLS, PREFIX, CPU))
    assert first.shape == (1, HEADS, PREFIX + ROWS * COLS, PREFIX + ROWS * COLS)
    assert not first[:, :, :PREFIX].any()
    assert not torch.equal(first, second)
    query, key = PREFIX + 2 * COLS + 1, PREFIX + 0 * COLS + 4  # two rows down, three columns to the left
    assert torch.equal(first[0, :, query, key], ours.table[0, :, 2 + ROWS - 1, -3 + COLS - 1])


def test_biases_of_another_grid_are_interpolated() -> None:
    ours = GridBias(HEADS, DEPTH, rows=ROWS, cols=COLS)
    with torch.no_grad():
        ours.table.copy_(torch.randn_like(ours.table))
    assert ours.resized(ROWS, COLS) is ours.table
    expected = torch.nn.functional.interpolate(ours.table, (7, 7), mode="bicubic")
    torch.testing.assert_close(ours.resized(4, 4), expected)
    assert ours(4, 4, 0, CPU)[0].bias.shape == (1, HEADS, 16, 16)


def test_a_digest_tells_rotations_apart() -> None:
    prints = {
        repr(GridRotary(K, 1, temperature=t, coordinates=c)) for t in (3.0, 4.0) for c in ("unit", "index")
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ({"kind": "rotary", "coordinates": "polar"}, "coordinates are 'polar', expected 'unit' or 'index'"),
        ({"kind": "rotary", "precision": "half"}, "precision is 'half', expected one of: float32, rounded"),
        ({"kind": "alibi"}, "relative positions are 'alibi', expected one of: rotary, rotary_mixed, table"),
        (
            {"kind": "table"},
            "relative positions of kind 'table': .*missing 2 required keyword-only arguments",
        ),
    ],
)
def test_what_cannot_be_is_named(relative: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_relative(GRIDS, relative, block_spec(HEADS * K, HEADS), DEPTH)


@pytest.mark.parametrize("kind", ["rotary", "rotary_mixed"])
def test_a_head_of_another_width_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match="head_width is 6, expected a multiple of 4 for rotary patches"):
        make_relative(GRIDS, {"kind": kind}, block_spec(HEADS * 6, HEADS), DEPTH)
