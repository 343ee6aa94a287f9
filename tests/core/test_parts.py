"""Block, encoder, pooling and positions."""

import torch

from vit.core import AttentionPool, Block, ClassPool, Encoder, LayerScale, MeanPool

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
