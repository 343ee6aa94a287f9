"""Rotations, biases, windows and causality in every method, against float64 references from the papers."""

from typing import Any

import pytest
import torch
from torch import Tensor

import vit
from vit.attribution.explain import explain

from .relations import CLASSES, IDS, KINDS, H, L, RelatedReference, inputs_of, related_tower

TARGETS = torch.tensor([4, 0, 9])
METHODS = ("raw", "rollout", "grad_rollout", "relevance", "legrad")


def close(model: Any, method: str, expected: Tensor, target: Tensor | None = None) -> None:
    """The map of all patches or tokens, to 1e-6 of the largest value, or of 1."""
    ours = explain(model, inputs_of(model), method, target).maps.flatten(1).double()
    expected = expected[:, model.prefix :]
    assert ours.shape == expected.shape
    assert expected.abs().max() > 0
    error = (ours - expected).abs().max() / max(1, expected.abs().max())
    assert error <= 1e-6, error


def scored(kind: str) -> tuple[Any, RelatedReference]:
    """A model, and its reference after one backward pass from the targets' logits."""
    model = related_tower(kind)
    reference = RelatedReference(model, kind)
    reference.logits().gather(1, TARGETS[:, None]).sum().backward()
    return model, reference


def identity(reference: RelatedReference) -> Tensor:
    return torch.eye(reference.weights[0].shape[-1], dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_the_model(kind: str) -> None:
    model = related_tower(kind)
    difference = (model(inputs_of(model)).double() - RelatedReference(model, kind).logits()).abs().max()
    assert difference <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_tape_holds_the_weights(kind: str) -> None:
    """They equal the reference, sum to 1, are 0 where the mask says so, and the logits stay bit for bit."""
    model = related_tower(kind)
    reference = RelatedReference(model, kind)
    plain = model(inputs_of(model))
    with vit.record_attention(model) as tape:
        recorded = model(inputs_of(model))
    assert torch.equal(plain, recorded)
    for weights, expected, allowed in zip(tape.weights(), reference.weights, reference.allowed, strict=True):
        torch.testing.assert_close(weights.double(), expected, atol=2e-6, rtol=0)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-6, rtol=0)
        assert (weights[..., ~allowed] == 0).all()


def test_the_masks_forbid_something() -> None:
    """Otherwise the test above shows nothing."""
    causal, windows = "causal text tower", "rotary text tower with windows"
    shares = {
        kind: [float(layer.double().mean()) for layer in RelatedReference(related_tower(kind), kind).allowed]
        for kind in (causal, windows)
    }
    assert shares[causal] == [pytest.approx(5 / 9)] * L
    assert shares[windows] == [1.0, pytest.approx(39 / 81)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_rollout(kind: str) -> None:
    """Abnar & Zuidema 2020: (W + I) / 2 of each layer, multiplied."""
    model = related_tower(kind)
    reference = RelatedReference(model, kind)
    joint = identity(reference)
    for weights in reference.weights:
        joint = (weights.mean(1) + identity(reference)) / 2 @ joint
    close(model, "rollout", reference.read(joint))


@pytest.mark.parametrize("kind", KINDS)
def test_grad_rollout(kind: str) -> None:
    """Gildenblat 2020: mean over heads of gradient times W, its positive part + I, rows to 1, multiplied."""
    model, reference = scored(kind)
    joint = identity(reference)
    for weights in reference.weights:
        mixed = (weights.grad * weights).mean(1).clamp(min=0) + identity(reference)
        joint = mixed / mixed.sum(-1, keepdim=True) @ joint
    close(model, "grad_rollout", reference.read(joint), TARGETS)


@pytest.mark.parametrize("kind", KINDS)
def test_relevance(kind: str) -> None:
    """Chefer et al. 2021, eq. 5 and 6: R <- R + E_h((gradient * W)^+) R."""
    model, reference = scored(kind)
    joint = identity(reference)
    for weights in reference.weights:
        joint = joint + (weights.grad * weights).clamp(min=0).mean(1) @ joint
    close(model, "relevance", reference.read(joint), TARGETS)


@pytest.mark.parametrize("kind", KINDS)
def test_legrad(kind: str) -> None:
    """Bousselham et al. 2024: each layer's score by that layer's weights; a forbidden weight cannot grow."""
    model = related_tower(kind)
    reference = RelatedReference(model, kind, cut=True)
    layers = []
    for weights, tokens, allowed in zip(reference.weights, reference.tokens, reference.allowed, strict=True):
        score = reference.logits(reference.model.encoder.norm(tokens)).gather(1, TARGETS[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, weights)
        layers.append((gradient * allowed).clamp(min=0).mean((1, 2)))
    close(model, "legrad", torch.stack(layers).mean(0), TARGETS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [*METHODS, "occlusion"])
def test_a_batch_equals_its_singles_and_the_logits_stay(kind: str, method: str) -> None:
    model = related_tower(kind)
    inputs = inputs_of(model)
    model.preprocess = type("Blank", (), {"blank": 1})
    found = explain(model, inputs, method)
    torch.testing.assert_close(found.logits, model(inputs).detach(), atol=1e-5, rtol=0)
    singles = torch.cat([explain(model, one[None], method).maps for one in inputs])
    torch.testing.assert_close(found.maps, singles, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["grad_rollout", "relevance", "legrad"])
@pytest.mark.parametrize("query", ["mean", (0, 3)])
def test_a_query_explains_its_own_reading(kind: str, method: str, query: str | tuple[int, int]) -> None:
    """One state is read alone, also by a head that reads the whole prefix."""
    model = related_tower(kind)
    maps = explain(model, inputs_of(model), method, TARGETS, query).maps
    assert maps.isfinite().all()
    assert (maps.flatten(1).amax(1) > 0).all()


@pytest.mark.parametrize("method", [*METHODS, "occlusion"])
def test_nothing_after_a_word_counts_in_a_causal_model(method: str) -> None:
    model = related_tower("causal text tower")
    model.preprocess = type("Blank", (), {"blank": 1})
    maps = explain(model, IDS, method, query=(0, 3)).maps[:, 0]
    assert (maps[:, 4:].abs() <= 1e-6).all()
    assert (maps[:, :4].abs().amax(1) > 1e-4).all()


def test_a_head_that_reads_the_prefix_reads_a_state_in_each_place() -> None:
    """The logit lens of a head on class token and register, concatenated: both are that state."""
    model = related_tower("image tower that reads its prefix")
    states = torch.randn(2, 5, H * 12)
    expected = model.head(torch.cat([states, states], -1))
    torch.testing.assert_close(model.read_token(states), expected)
    assert expected.shape == (2, 5, CLASSES)


def test_every_id_of_a_text_is_a_token() -> None:
    """Also one of padding at its end, which a causal model would not count as a position."""
    model = related_tower("causal text tower")
    ids = torch.tensor([[4, 0, 7, 0]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    for method in METHODS:
        found = explain(model, ids, method)
        torch.testing.assert_close(found.logits, model(ids, mask).detach(), atol=1e-5, rtol=0)
    pair = ids.expand(2, -1)
    with pytest.raises(ValueError, match="ids hold padding"):
        explain(model, pair, "rollout")
    torch.testing.assert_close(
        explain(model, pair, "rollout", whole=True).maps[1:], explain(model, ids, "rollout").maps
    )
