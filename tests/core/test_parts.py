"""Block, encoder, pooling and positions."""

import math

import pytest
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from vit.core import AttentionPool, Block, ClassPool, Encoder, GridPositions, LayerScale, MeanPool
from vit.core.positions import sincos_2d

from ..towers import block_spec

B, N, D, H = 2, 5, 33, 3


def test_a_block_is_equations_2_and_3() -> None:
    block = Block(block_spec(D, H, 13))
    tokens = torch.randn(B, N, D)
    middle = block.attention(block.attention_norm(tokens)) + tokens
    expected = block.mlp(block.mlp_norm(middle)) + middle
    torch.testing.assert_close(block(tokens), expected)


def test_zero_layer_scale_makes_a_block_the_identity() -> None:
    tokens = torch.randn(B, N, D)
    assert torch.equal(Block(block_spec(D, H, 13, layer_scale=0.0))(tokens), tokens)
    assert isinstance(Block(block_spec(D, H, 13, layer_scale=0.5)).mlp_scale, LayerScale)


def test_stochastic_depth_grows_with_depth_and_is_off_in_eval() -> None:
    encoder = Encoder(block_spec(D, H), 5, drop_path=0.8)
    assert [round(block.drop_path.p, 6) for block in encoder.blocks] == [0.0, 0.2, 0.4, 0.6, 0.8]
    tokens = torch.randn(B, N, D)
    encoder.eval()
    assert torch.equal(encoder(tokens), encoder(tokens))
    encoder.train()
    assert not torch.equal(encoder(tokens), encoder(tokens))


def test_an_encoder_passes_the_mask_to_every_block() -> None:
    encoder = Encoder(block_spec(D, H), 3).eval()
    mask = torch.tensor([[True, True, True, False, False], [True, True, True, True, True]])
    long, short = torch.randn(B, N, D), slice(0, 3)
    alone = encoder(long[:1, short])
    torch.testing.assert_close(encoder(long, mask)[:1, short], alone, atol=1e-5, rtol=1e-5)


def test_pools() -> None:
    tokens = torch.randn(B, N, D)
    assert torch.equal(ClassPool()(tokens, 2), tokens[:, 0])
    torch.testing.assert_close(MeanPool()(tokens, 2), tokens[:, 2:].mean(1))
    pool = AttentionPool(block_spec(D, H))
    pooled = pool(tokens, 2)
    assert pooled.shape == (B, D)
    elsewhere = torch.cat([torch.randn(B, 2, D), tokens[:, 2:]], 1)
    torch.testing.assert_close(pool(elsewhere, 2), pooled)  # the prefix does not count


@pytest.mark.parametrize("kind", ["learned", "sincos"])
def test_positions_fit_another_grid_as_timm_fits_them(kind: str) -> None:
    positions = GridPositions(5, 7, 12, kind)
    ours = positions.resized(11, 3)
    theirs = resample_abs_pos_embed(
        positions.table.reshape(1, 35, 12), [11, 3], [5, 7], num_prefix_tokens=0
    ).reshape(11, 3, 12)
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(positions.resized(5, 7), positions.table)


def test_compiled_positions_learn_on_grids_that_change() -> None:
    positions = GridPositions(5, 7, 12)
    compiled = torch.compile(positions, backend="aot_eager")
    for rows, cols in ((2, 3), (3, 5), (5, 7), (3, 5)):
        gradients = []
        for module in (positions, compiled):
            positions.zero_grad()
            module(torch.ones(2, rows, cols, 12)).square().sum().backward()
            gradients.append(positions.table.grad)
        torch.testing.assert_close(gradients[1], gradients[0])


def test_learned_positions_learn_and_sincos_do_not() -> None:
    assert isinstance(GridPositions(5, 7, 12).table, nn.Parameter)
    fixed = GridPositions(5, 7, 12, "sincos")
    assert not list(fixed.parameters())
    assert not fixed.state_dict()


def test_sincos_values() -> None:
    table = sincos_2d(5, 7, 8)
    row, col = 3, 6
    expected = [
        f(place * 10_000 ** -(k / 2)) for place in (row, col) for f in (math.sin, math.cos) for k in (0, 1)
    ]
    torch.testing.assert_close(table[row, col], torch.tensor(expected))


def test_positions_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="expected a multiple of 4"):
        GridPositions(2, 2, 10, "sincos")
    with pytest.raises(ValueError, match="'fourier', expected 'learned' or 'sincos'"):
        GridPositions(2, 2, 8, "fourier")
