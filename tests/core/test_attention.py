"""Attention against a float64 reference written from Vaswani et al. 2017, section 3.2."""

import math
from threading import get_ident
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vit.core import Attention, Recording, attention_weights
from vit.core.attention import PLAIN_CPU_KEYS, attend, project

B, N, M, H, K = 2, 5, 7, 3, 11
D = H * K


@torch.no_grad()
def reference(layer: Attention, tokens: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    """Equation 1 and multi-head attention, one query of one head at a time, in float64."""
    layer, tokens, context = layer.double(), tokens.double(), context.double()
    query, key, value = layer.query(tokens), layer.key(context), layer.value(context)
    joined = torch.zeros_like(query)
    for b in range(len(tokens)):
        for head in range(layer.heads):
            part = slice(head * K, (head + 1) * K)
            for i in range(tokens.shape[1]):
                scores = [
                    float(query[b, i, part] @ key[b, j, part]) / math.sqrt(K)
                    if mask is None or mask[b, j]
                    else -math.inf
                    for j in range(context.shape[1])
                ]
                if max(scores) == -math.inf:
                    continue
                shares = [math.exp(score - max(scores)) for score in scores]
                for j, share in enumerate(shares):
                    joined[b, i, part] += share / sum(shares) * value[b, j, part]
    return layer.output(joined)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_paper(masked: bool, train: bool) -> None:
    layer = Attention(D, H)
    tokens, context = torch.randn(B, N, D), torch.randn(B, M, D)
    mask = torch.rand(B, M) > 0.4 if masked else None
    with torch.set_grad_enabled(train):
        ours = layer(tokens, context, mask)
    assert ours.shape == (B, N, D)
    torch.testing.assert_close(ours.double(), reference(layer, tokens, context, mask), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("keys", [M, PLAIN_CPU_KEYS + 1])
@pytest.mark.parametrize("train", [False, True])
def test_every_path_gives_the_same(train: bool, keys: int, dtype: torch.dtype, error: float) -> None:
    """Few keys in half precision are plain products, all else is the fused kernel: neither approximates."""
    query, key, value = (torch.randn(B, H, size, K, dtype=dtype) for size in (N, keys, keys))
    mask = torch.rand(B, 1, N, keys) > 0.5
    mask[0, :, 1] = False
    found = attend(query.requires_grad_(train), key, value, mask, K**-0.5)
    weights = attention_weights(query.double(), key.double(), mask, K**-0.5)
    torch.testing.assert_close(found, (weights @ value.double()).to(dtype), atol=error, rtol=0)


@pytest.mark.parametrize("train", [False, True])
def test_a_fully_masked_picture_gets_zeros_and_finite_gradients(train: bool) -> None:
    layer = Attention(D, H)
    tokens = torch.randn(B, N, D, requires_grad=train)
    mask = torch.ones(B, N, dtype=torch.bool)
    mask[1] = False
    out = layer(tokens, mask=mask)
    torch.testing.assert_close(out[1], layer.output.bias.expand(N, D))
    if train:
        out.sum().backward()
        assert tokens.grad is not None
        assert tokens.grad.isfinite().all()


def test_masked_tokens_do_not_count() -> None:
    layer = Attention(D, H)
    tokens = torch.randn(B, N, D)
    mask = torch.tensor([[True, True, True, False, False], [False, True, True, True, True]])
    changed = torch.where(mask[..., None], tokens, torch.randn(B, N, D))
    kept = layer(tokens, mask=mask)[mask]
    torch.testing.assert_close(layer(changed, mask=mask)[mask], kept)


def test_weights_sum_to_one_in_float32_even_from_bf16() -> None:
    query, key = torch.randn(B, H, N, K).bfloat16(), torch.randn(B, H, M, K).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        weights = Recording(query, key, None, 0.3).weights()
    torch.testing.assert_close(weights, attention_weights(query.float(), key.float(), None, 0.3))
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, N))


def test_qk_norm_bounds_the_scores() -> None:
    layer = Attention(D, H, qk_norm=True)
    small = layer(torch.randn(B, N, D))
    assert small.isfinite().all()
    seen = []
    layer.recorders[get_ident()] = lambda recording, *_: seen.append((recording.query, recording.key))
    layer(1000 * torch.randn(B, N, D))
    query, key = seen[0]
    assert (query @ key.mT * layer.scale).abs().max() <= math.sqrt(K) + 1e-4


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (torch.ones(B, M, dtype=torch.bool), ValueError, rf"\({B}, {M}\), expected \({B}, {N}\)"),
        (torch.ones(B, N), TypeError, "torch.float32, expected torch.bool"),
        (torch.ones(B, H, N, dtype=torch.bool), ValueError, "expected"),
        (torch.ones(B, 1, M, N, dtype=torch.bool), ValueError, "expected"),
    ],
)
def test_a_wrong_mask_names_both_shapes(mask: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Attention(D, H)(torch.randn(B, N, D), mask=mask)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width is 33, expected a multiple of heads = 4"):
        Attention(33, 4)


@pytest.mark.parametrize("biases", [(True, True, True), (False, False, False), (True, False, True)])
def test_one_multiplication_for_several_layers(biases: tuple[bool, ...]) -> None:
    layers = [nn.Linear(7, 5 + 2 * index, bias=bias).double() for index, bias in enumerate(biases)]
    tokens = torch.randn(2, 3, 7, dtype=torch.float64)
    for given, layer in zip(project(tokens, *layers), layers, strict=True):
        torch.testing.assert_close(given, layer(tokens), rtol=0, atol=1e-12)
    with OperatorCount() as counted:
        project(tokens, *layers)
    assert counted.products == 1


@pytest.mark.parametrize("kind", ["subclass", "hook", "pre-hook", "no gradient"])
def test_layers_that_compute_for_themselves(kind: str) -> None:
    class Doubled(nn.Linear):
        def forward(self, tokens: Tensor) -> Tensor:
            return 2 * super().forward(tokens)

    layers = [nn.Linear(7, 5), (Doubled if kind == "subclass" else nn.Linear)(7, 5), nn.Linear(7, 5)]
    if kind == "hook":
        layers[1].register_forward_hook(lambda module, args, result: 2 * result)
    elif kind == "pre-hook":
        layers[1].register_forward_pre_hook(lambda module, args: (2 * args[0],))
    tokens = torch.randn(2, 3, 7)
    with torch.set_grad_enabled(kind != "no gradient"), OperatorCount() as counted:
        results = project(tokens, *layers)
    assert counted.products == 3
    torch.testing.assert_close(results[1], layers[1](tokens))


class OperatorCount(TorchDispatchMode):
    """Counts matrix products."""

    products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.products += func.overloadpacket.__name__ in ("mm", "addmm", "bmm", "linear")
        return func(*args, **(kwargs or {}))
