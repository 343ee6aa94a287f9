"""LibraGrad against a float64 reference written from its paper, on every kind of model."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vit
from vit.attribution.balanced import balanced_pass, contribution
from vit.attribution.explain import explain
from vit.core import attention
from vit.errors import VitError

from . import relations
from .balanced import LibraReference
from .towers import COLS, IMAGES, KINDS, ROWS, B, tower

TARGETS = torch.tensor([4, 0, 9])
METHODS = ("libra", "libra_fullgrad")
BLOCKS: dict[str, dict[str, Any]] = {
    "gated, GELU": {"gated": True},
    "gated, SiLU": {"gated": True, "activation": "silu", "norm_kind": "rms"},
    "SiLU": {"activation": "silu", "norm_kind": "layer_no_bias"},
    "quick GELU": {"activation": "quick_gelu", "qk_norm": True},
    "GELU by tanh": {"activation": "gelu_tanh", "layer_scale": 0.3},
    "ReLU": {"activation": "relu", "hidden_norm": True, "mixed_norm": True},
    "norms on branches": {"norm": "branch"},
    "norms on sums": {"norm": "post", "encoder_norm": False},
    "parallel": {"parallel": True, "qk_norm": True},
    "pooler": {"pooler": "tanh", "pool_norm": True, "embedding_norm": True, "patch_norm": True},
    "without biases": {"qkv_bias": False, "output_bias": False, "norm_kind": "rms", "patch_bias": False},
}


def moved(model: Any) -> Any:
    """All parameters moved, so that none is 0 or 1."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def of_kind(kind: str) -> tuple[Any, Tensor]:
    """A float64 model and its inputs: the kinds of pools, of relations, and of blocks."""
    if kind in relations.KINDS:
        model = relations.related_tower(kind).double()
        model.preprocess = type("Blank", (), {"blank": 1})
        inputs = relations.inputs_of(model)
        return model, inputs.double() if inputs.is_floating_point() else inputs
    return moved(tower(**{**KINDS, **BLOCKS}[kind])).double(), IMAGES.double()


ALL = [*KINDS, *relations.KINDS, *BLOCKS]


def close(ours: Tensor, expected: Tensor) -> None:
    """To 1e-6 of the largest value, or of 1."""
    assert ours.shape == expected.shape
    assert expected.abs().max() > 1e-2
    error = (ours.double() - expected).abs().max() / max(1, expected.abs().max())
    assert error <= 1e-6, error


def in_patches(pixels: Tensor) -> Tensor:
    """(B, height, width) -> (B, rows, cols), patch by patch."""
    sums = torch.zeros(len(pixels), ROWS, COLS, dtype=pixels.dtype)
    for row in range(ROWS):
        for col in range(COLS):
            sums[:, row, col] = pixels[:, 2 * row : 2 * row + 2, 3 * col : 3 * col + 3].sum((1, 2))
    return sums


def interpolated(images: Tensor) -> Tensor:
    """Each pixel between the means of the patches whose centres are nearest, clamped at the edges."""
    means = torch.stack(
        [
            torch.stack(
                [images[:, :, 2 * r : 2 * r + 2, 3 * c : 3 * c + 3].mean((2, 3)) for c in range(COLS)], -1
            )
            for r in range(ROWS)
        ],
        -2,
    )
    made = torch.zeros_like(images)
    for y in range(images.shape[2]):
        for x in range(images.shape[3]):
            for place_y, part_y in between((y + 0.5) / 2 - 0.5, ROWS):
                for place_x, part_x in between((x + 0.5) / 3 - 0.5, COLS):
                    made[:, :, y, x] += part_y * part_x * means[:, :, place_y, place_x]
    return made


def between(position: float, count: int) -> list[tuple[int, float]]:
    """The two places around a position, and the share of each."""
    position = min(max(position, 0.0), count - 1.0)
    low = min(int(position), count - 2)
    return [(low, low + 1 - position), (low + 1, position - low)]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("baseline", ["blank", "mean", "none"])
def test_libra(kind: str, baseline: str) -> None:
    """Input times gradient; with a baseline, what the input differs by."""
    model, inputs = of_kind(kind)
    reference = LibraReference(model, inputs, TARGETS)
    if reference.pixels is not None:
        mean, local = inputs.mean((2, 3), keepdim=True), interpolated(inputs)
        pixels = inputs - {"blank": (mean + local) / 2, "mean": mean, "none": 0}[baseline]
        expected = in_patches((pixels * reference.gradient[id(reference.pixels)]).sum(1))
    elif baseline == "mean":
        with pytest.raises(VitError, match="baseline is 'mean', expected one of: blank, none"):
            explain(model, inputs, "libra", baseline=baseline)
        return
    else:
        states = reference.states[0]
        blank = reference.model.embed(torch.full_like(inputs, 1), torch.ones_like(inputs).bool())
        states = states - blank if baseline == "blank" else states
        expected = (states * reference.gradient[id(reference.states[0])]).sum(-1)[:, None].detach()
    close(explain(model, inputs, "libra", TARGETS, baseline=baseline).maps, expected)


@pytest.mark.parametrize("kind", ALL)
def test_fullgrad(kind: str) -> None:
    """FullGrad+: input times gradient of each layer, bias times gradient of each bias."""
    model, inputs = of_kind(kind)
    reference = LibraReference(model, inputs, TARGETS)
    placed = [reference.of(bias) for bias in reference.biases if bias.ndim == 3]
    elsewhere = [
        reference.of(bias) for bias in reference.biases if bias.ndim != 3
    ]  # norms of queries and keys
    assert all((part == 0).all() for part in elsewhere)
    expected = sum(map(reference.of, reference.states)) + sum(placed)
    close(explain(model, inputs, "libra_fullgrad", TARGETS).maps.flatten(1), expected[:, model.prefix :])


@pytest.mark.parametrize("kind", ALL)
def test_what_inputs_and_biases_add_is_the_score(kind: str) -> None:
    """FullGrad-completeness (definition 1), from the input of every block on."""
    model, inputs = of_kind(kind)
    reference = LibraReference(model, inputs, TARGETS)
    after = torch.zeros(B).double()
    for bias in reference.after:
        after += reference.of(bias).reshape(B, -1).sum(1)
    found = balanced_pass(model, inputs, "cls", TARGETS, biases=True)
    for layer, (states, gradient) in enumerate(zip(found.states, found.gradients, strict=True)):
        total = contribution(states, gradient).sum(1) + sum(found.biases[layer:]).sum(1) + after
        torch.testing.assert_close(total, reference.score.detach())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("method", METHODS)
def test_the_logits_stay_and_a_batch_equals_its_singles(kind: str, method: str) -> None:
    model, inputs = of_kind(kind)
    found = explain(model, inputs, method)
    whole = None if model.reads == "image" else torch.ones_like(inputs, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(found.logits, model.read(model.encode(inputs, whole)))
    singles = torch.cat([explain(model, one[None], method).maps for one in inputs])
    torch.testing.assert_close(found.maps, singles, atol=1e-9, rtol=1e-6)


def convolutional() -> Any:
    block = vit.core.BlockSpec(width=24, heads=2, mlp_ratio=2.0)
    return vit.vision.VisionTransformer(7, (8, 12), block, tokenizer="conv", stem=[10], depth=2).eval()


def test_the_gradient_goes_through_a_convolutional_tokenizer() -> None:
    """Convolutions, batch norm and pooling are linear around an input; GELUs have constant gates."""
    model = convolutional()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    nn.init.normal_(model.head.weight)
    moved(model).double()
    images = torch.randn(2, 3, 8, 12, dtype=torch.float64)

    def gelu(x: Tensor) -> Tensor:
        return x * ((1 + torch.erf(x / 2**0.5)) / 2).detach()

    def tokens(pixels: Tensor) -> Tensor:
        filters = model.tokenizer.whiten
        maps = gelu(nn.functional.conv2d(pixels, torch.cat([filters, -filters]), padding=1))
        for half in model.tokenizer.halvings:
            maps = gelu(half.enter_norm(nn.functional.max_pool2d(half.enter(maps), 2)))
            inner = gelu(half.first_norm(half.first(maps)))
            maps = maps + gelu(half.second_norm(half.second(inner)))
        return maps.permute(0, 2, 3, 1)

    leaf = images.clone().requires_grad_()
    found = balanced_pass(model, images, "cls", torch.tensor([3, 5]))
    patches = found.gradients[0][:, 1:].unflatten(1, (2, 3))
    (expected,) = torch.autograd.grad(tokens(leaf), leaf, patches)
    torch.testing.assert_close(found.inputs_gradient, expected)


@pytest.mark.parametrize("method", METHODS)
def test_no_weights_are_formed(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention stays fused."""
    monkeypatch.setattr(attention, "attention_weights", None)
    assert explain(tower(), IMAGES, method).maps.abs().max() > 0


@pytest.mark.parametrize("kind", ["cls", "mean", "attention pool", "rotary text tower with windows"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("query", ["mean", (0, 3)])
def test_a_query_explains_its_own_reading(kind: str, method: str, query: str | tuple[int, int]) -> None:
    """The logit lens of one token: a model whose head reads that token alone has the same map."""
    model, inputs = of_kind(kind)
    maps = explain(model, inputs, method, TARGETS, query).maps
    assert (maps.flatten(1).abs().amax(1) > 0).all()
    if not (query == "mean" and model.pool_kind == "mean"):
        assert (maps - explain(model, inputs, method, TARGETS).maps).abs().max() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_single_precision(kind: str, method: str) -> None:
    """Rounding adds less than 1e-5 of the largest value."""
    model, images = of_kind(kind)
    exact = explain(model, images, method, TARGETS).maps
    rounded = explain(model.float(), images.float(), method, TARGETS).maps
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_pixels_after_the_last_patch_are_left_out() -> None:
    """A model that trims reads the same patches of a larger image."""
    model = tower(trim=True)
    images = torch.randn(B, 1, 11, 23)
    whole = explain(model, images, "libra", baseline="none").maps
    read = explain(model, images[:, :, :10, :21], "libra", baseline="none").maps
    assert whole.shape == (B, ROWS, COLS)
    torch.testing.assert_close(whole, read)


def test_a_text_without_a_tokenizer_has_no_blank() -> None:
    model = relations.related_tower("causal text tower")
    with pytest.raises(VitError, match="no tokenizer, whose blank is the baseline"):
        explain(model, relations.IDS, "libra")
    assert explain(model, relations.IDS, "libra", baseline="none").maps.isfinite().all()


def test_an_unknown_baseline() -> None:
    with pytest.raises(VitError, match="baseline is 'white', expected one of: blank, mean, local, none"):
        vit.attend(tower(), IMAGES, "libra", baseline="white")


def test_auto_is_the_most_faithful_that_fits() -> None:
    model = tower()
    found = explain(model, IMAGES, "auto")
    assert found.method == "libra_fullgrad"
    assert torch.equal(found.maps, vit.attend(model, IMAGES, "libra_fullgrad"))
    assert explain(convolutional(), torch.randn(1, 3, 8, 12), "auto").method == "libra"
    assert (
        explain(relations.related_tower("causal text tower"), relations.IDS, "auto").method
        == "libra_fullgrad"
    )
    headless = tower()
    headless.head = nn.Identity()
    assert explain(headless, IMAGES, "auto").method == "rollout"
    assert explain(headless, IMAGES, "raw").method == "raw"
