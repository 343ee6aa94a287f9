"""Attention with rotations, biases and masks by position, against float64 written out."""

import pytest
import torch
from torch import Tensor

from vit.core import Attention, Relation, Rotation, attention_weights
from vit.core.attention import attend
from vit.core.relations import causal_mask, join_masks, window_mask, with_mask

B, H, N, M, K, D = 2, 3, 5, 7, 4, 11


def heads(tokens: int) -> Tensor:
    return torch.randn(B, H, tokens, K)


def written_out(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor, scale: float
) -> Tensor:
    """Row by row, in float64."""
    result = torch.zeros(B, H, query.shape[2], value.shape[-1], dtype=torch.float64)
    mask = mask.expand(B, H, query.shape[2], key.shape[2])
    bias = bias.expand_as(mask)
    for b in range(B):
        for h in range(H):
            for n in range(query.shape[2]):
                seen = mask[b, h, n].nonzero()[:, 0]
                if len(seen):
                    scores = key[b, h, seen].double() @ query[b, h, n].double() * scale
                    scores = scores + bias[b, h, n, seen].double()
                    result[b, h, n] = scores.softmax(0) @ value[b, h, seen].double()
    return result


@pytest.mark.parametrize("shape", [(1, H, N, M), (B, 1, N, M), (B, H, N, M), (1, 1, 1, M)])
def test_bias_and_mask_are_written_out(shape: tuple[int, ...]) -> None:
    query, key, value = heads(N), heads(M), heads(M)
    mask = torch.rand(B, 1, N, M) < 0.6
    mask[1, 0, 2] = False  # a query that may attend to nothing
    bias = torch.randn(shape)
    expected = written_out(query, key, value, mask, bias, 0.3)
    torch.testing.assert_close(
        attend(query, key, value, mask, 0.3, bias).double(), expected, atol=1e-6, rtol=0
    )
    weights = attention_weights(query, key, mask, 0.3, bias)
    torch.testing.assert_close((weights @ value).double(), expected, atol=1e-6, rtol=0)
    assert (weights[~mask.expand_as(weights)] == 0).all()


@pytest.mark.parametrize("by", ["kernel", "weights"])
def test_a_query_that_may_attend_to_nothing_has_finite_gradients(by: str) -> None:
    query, key, value = (part.requires_grad_() for part in (heads(N), heads(M), heads(M)))
    bias = torch.randn(1, H, N, M, requires_grad=True)
    mask = torch.ones(B, 1, N, M, dtype=torch.bool)
    mask[0, 0, 1] = False
    if by == "kernel":
        mixed = attend(query, key, value, mask, 0.3, bias)
    else:
        mixed = attention_weights(query, key, mask, 0.3, bias) @ value
    mixed.square().sum().backward()
    for part in (query, key, value, bias):
        assert part.grad is not None
        assert part.grad.isfinite().all()
    assert query.grad is not None
    assert (query.grad[0, :, 1] == 0).all()


def test_a_bias_may_be_a_function_of_the_queries() -> None:
    layer = Attention(D, H, head_width=K)
    tokens, table = torch.randn(B, N, D), torch.randn(H, K, N)
    seen = []

    def bias(query: Tensor) -> Tensor:
        seen.append(query)
        return query @ table

    by_function = layer(tokens, relation=Relation(bias=bias))
    assert seen[0].shape == (B, H, N, K)
    torch.testing.assert_close(by_function, layer(tokens, relation=Relation(bias=seen[0] @ table)))
    assert not torch.allclose(by_function, layer(tokens))


def test_a_rotation_turns_pairs_as_complex_numbers_do() -> None:
    angle = torch.randn(1, 1, N, K // 2)
    query = heads(N)
    turned = Rotation(angle.cos(), angle.sin())(query)
    first, second = query.chunk(2, -1)
    expected = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], -1))


def test_head_width_and_scale_are_free() -> None:
    layer = Attention(D, H, head_width=K, scale=1.0).double()
    assert layer.query.weight.shape == (H * K, D)
    assert layer.output.weight.shape == (D, H * K)
    tokens = torch.randn(B, N, D, dtype=torch.float64)
    query, key, value = (
        part(tokens).unflatten(-1, (H, K)).transpose(1, 2) for part in (layer.query, layer.key, layer.value)
    )
    mixed = (query @ key.transpose(-2, -1)).softmax(-1) @ value
    torch.testing.assert_close(layer(tokens), layer.output(mixed.transpose(1, 2).flatten(2)))


def test_masks_by_position() -> None:
    queries, keys = torch.tensor([[3, 4]]), torch.arange(5)[None]
    assert causal_mask(queries, keys).int().tolist() == [[[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]]]
    assert window_mask(queries, keys, 1).int().tolist() == [[[[0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]]]
    causal, window = causal_mask(queries, keys), window_mask(queries, keys, 1)
    both = with_mask([Relation(mask=window), Relation()], causal, 2)
    assert both[0].mask is not None
    assert both[0].mask.int().tolist() == [[[[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]]]
    assert both[1].mask is causal
    assert len(with_mask(None, causal, 3)) == 3
    assert join_masks(None, None) is None
