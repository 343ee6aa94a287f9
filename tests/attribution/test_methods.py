"""Every method against a float64 reference written from its paper, on every kind of model."""

import pytest
import torch
from torch import Tensor

import vit
from vit.attribution.explain import explain
from vit.attribution.methods.rise import _rise_masks
from vit.attribution.roster import METHODS
from vit.errors import VitError

from ..towers import vision_tower
from .towers import CLASSES, COLS, IMAGES, KINDS, ROWS, B, H, Reference, tower

TARGETS = torch.tensor([4, 0, 9])
OF_A_CLASS = [name for name, method in METHODS.items() if method.explains_class]
GRADIENT = ["grad_rollout", "relevance", "legrad"]
QUICK = {"rise": {"samples": 23}}


def read(model: vit.vision.VisionTransformer, joint: Tensor, pool_row: Tensor | None) -> Tensor:
    """The row that the head reads of (B, N, N), patches alone, (B, patches)."""
    prefix = model.prefix
    if model.pool_kind == "cls":
        return joint[:, 0, prefix:]
    if model.pool_kind == "mean":
        return joint[:, prefix:, prefix:].mean(1)
    assert pool_row is not None
    return torch.einsum("bp,bpn->bn", pool_row, joint)[:, prefix:]


def close(ours: Tensor, expected: Tensor) -> None:
    """To 1e-6 of the largest value, or of 1."""
    assert ours.shape == (B, ROWS, COLS)
    assert expected.abs().max() > 0
    error = (ours.double().flatten(1) - expected).abs().max()
    assert error <= 1e-6 * max(1, expected.abs().max()), error


def scored(kind: str) -> tuple[vit.vision.VisionTransformer, Reference]:
    """A model, and its reference after one backward pass from the targets' logits."""
    model = tower(**KINDS[kind])
    reference = Reference(model, IMAGES)
    reference.logits().gather(1, TARGETS[:, None]).sum().backward()
    return model, reference


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_the_model(kind: str) -> None:
    model = tower(**KINDS[kind])
    torch.testing.assert_close(model(IMAGES).double(), Reference(model, IMAGES).logits(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layer", "head"), [(-1, None), (1, None), (2, 1)])
def test_raw(kind: str, layer: int, head: int | None) -> None:
    model = tower(**KINDS[kind])
    reference = Reference(model, IMAGES)
    reference.logits()
    weights = reference.weights[layer]
    fused = weights.mean(1) if head is None else weights[:, head]
    pool = None if reference.pool_weights is None else reference.pool_weights.mean(1)[:, 0]
    close(vit.attend(model, IMAGES, "raw", layer=layer, head=head), read(model, fused, pool))


@pytest.mark.parametrize("kind", KINDS)
def test_relevance(kind: str) -> None:
    """Chefer et al. 2021: R = I; R += A R with A = E_h((grad A * A)^+), first layer first (eq. 5 and 6)."""
    model, reference = scored(kind)
    n = reference.weights[0].shape[-1]
    joint = torch.eye(n, dtype=torch.float64).expand(B, n, n).clone()
    for weights in reference.weights:
        joint = joint + (weights.grad * weights).clamp(min=0).mean(1) @ joint
    pool = reference.pool_weights
    row = None if pool is None else (pool.grad * pool).clamp(min=0).mean(1)[:, 0]
    close(vit.attend(model, IMAGES, "relevance", TARGETS), read(model, joint, row))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("discard", [0.0, 0.5])
def test_grad_rollout(kind: str, discard: float) -> None:
    """Gildenblat 2020: mean over heads of grad * A, clamped, weakest out, + I, rows to 1, multiplied."""
    model, reference = scored(kind)
    prefix, n = model.prefix, reference.weights[0].shape[-1]
    joint = torch.eye(n, dtype=torch.float64).expand(B, n, n).clone()
    for weights in reference.weights:
        fused = (weights.grad * weights).mean(1).clamp(min=0)
        mixed = discarded(fused, discard, prefix) + torch.eye(n, dtype=torch.float64)
        joint = mixed / mixed.sum(-1, keepdim=True) @ joint
    pool = reference.pool_weights
    row = None if pool is None else (pool.grad * pool).mean(1)[:, 0].clamp(min=0)
    row = None if row is None else row / row.sum(-1, keepdim=True)
    ours = vit.attend(model, IMAGES, "grad_rollout", TARGETS, discard=discard)
    close(ours, read(model, joint, row))


def discarded(fused: Tensor, share: float, prefix: int) -> Tensor:
    """The weakest patch-to-patch entries of each picture to zero, one picture and one entry at a time."""
    kept = fused.detach().clone()
    for picture in kept:
        n = len(picture)
        places = [(i, j) for i in range(prefix, n) for j in range(prefix, n)]
        places.sort(key=lambda place: float(picture[place]))
        for place in places[: int(share * len(places))]:
            picture[place] = 0
    return kept


@pytest.mark.parametrize("kind", ["registers", "mean"])
@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.3, 0.9])
def test_rollout_with_fusion_and_discard(kind: str, fusion: str, discard: float) -> None:
    model = tower(**KINDS[kind])
    reference = Reference(model, IMAGES)
    n = reference.weights[0].shape[-1]
    joint = torch.eye(n, dtype=torch.float64).expand(B, n, n)
    for weights in reference.weights:
        fused = {"mean": weights.mean(1), "max": weights.amax(1), "min": weights.amin(1)}[fusion]
        mixed = discarded(fused, discard, model.prefix) + torch.eye(n, dtype=torch.float64)
        joint = mixed / mixed.sum(-1, keepdim=True) @ joint
    close(vit.attend(model, IMAGES, fusion=fusion, discard=discard), read(model, joint, None))


@pytest.mark.parametrize("kind", KINDS)
def test_legrad(kind: str) -> None:
    """Bousselham et al. 2024: each layer's score, its gradient by that layer's attention, clamped; means."""
    model = tower(**KINDS[kind])
    reference = Reference(model, IMAGES, cut=True)
    layers = []
    for weights, tokens in zip(reference.weights, reference.tokens, strict=True):
        score = reference.logits(reference.model.encoder.norm(tokens)).gather(1, TARGETS[:, None]).sum()
        by = weights if reference.pool_weights is None else reference.pool_weights
        (gradient,) = torch.autograd.grad(score, by)
        layers.append(gradient.clamp(min=0).mean((1, 2)))
    expected = torch.stack(layers).mean(0)
    prefix = 0 if model.pool_kind == "attention" else model.prefix
    close(vit.attend(model, IMAGES, "legrad", TARGETS), expected[:, prefix:])


@pytest.mark.parametrize(("window", "kind"), [(1, "cls"), (2, "mean")])
def test_occlusion(window: int, kind: str) -> None:
    """Zeiler & Fergus 2014: cover a square, see the score fall; here square by square and pixel by pixel."""
    model = tower(**KINDS[kind])
    expected = torch.zeros(B, ROWS, COLS, dtype=torch.float64)
    times = torch.zeros(ROWS, COLS)
    for row in range(ROWS - window + 1):
        for col in range(COLS - window + 1):
            covered = IMAGES.clone()
            for b in range(B):
                mean = IMAGES[b, 0].mean()
                covered[b, 0, 2 * row : 2 * (row + window), 3 * col : 3 * (col + window)] = mean
            with torch.no_grad():
                fall = (model(IMAGES) - model(covered)).double()
            part = fall.gather(1, TARGETS[:, None])
            expected[:, row : row + window, col : col + window] += part[..., None]
            times[row : row + window, col : col + window] += 1
    ours = vit.attend(model, IMAGES, "occlusion", TARGETS, window=window)
    torch.testing.assert_close(ours.double(), expected / times, atol=1e-5, rtol=0)


def test_occlusion_without_a_window_is_the_mean_of_several() -> None:
    """As many sizes as fit: 1, 2 and 3 patches in a grid of 5 x 7, 1 and 2 in one of 2 x 7."""
    model = tower(pool="mean", class_token=False)
    for images, sizes in ((IMAGES, (1, 2, 3)), (IMAGES[:, :, :4], (1, 2))):
        parts = [vit.attend(model, images, "occlusion", TARGETS, window=size) for size in sizes]
        torch.testing.assert_close(
            vit.attend(model, images, "occlusion", TARGETS), torch.stack(parts).mean(0)
        )


def test_rise() -> None:
    """Petsiuk et al. 2018, eq. 6: the sum of f(picture under M) M, over N E[M]; mask by mask."""
    model = tower(**KINDS["registers"])
    samples = 23
    masks = torch.cat(list(_rise_masks((10, 21), samples, 7, 0.5, 0, 5))).double()
    expected = torch.zeros(B, ROWS, COLS, dtype=torch.float64)
    for b in range(B):
        picture = IMAGES[b].double()
        for mask in masks:
            seen = picture * mask + picture.mean() * (1 - mask)
            with torch.no_grad():
                states = Reference(model, seen[None].float())
                score = states.logits().softmax(-1)[0, TARGETS[b]]
            for row in range(ROWS):
                for col in range(COLS):
                    shown = mask[0, 2 * row : 2 * row + 2, 3 * col : 3 * col + 3].mean()
                    expected[b, row, col] += score * shown / (samples * 0.5)
    close(vit.attend(model, IMAGES, "rise", TARGETS, samples=samples), expected.flatten(1))


def test_masks_of_rise() -> None:
    """Bilinear between random cells: in [0, 1], as bright as kept on the mean, smooth, and each another."""
    masks = torch.cat(list(_rise_masks((32, 48), 400, 7, 0.3, 0, 64)))
    assert masks.shape == (400, 1, 32, 48)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.02)
    assert float((masks[..., 1:] - masks[..., :-1]).abs().max()) <= 1 / 7 + 1e-6  # a cell is 7 pixels wide
    assert len({mask.sum().item() for mask in masks}) > 390
    again = torch.cat(list(_rise_masks((32, 48), 400, 7, 0.3, 0, 64)))
    torch.testing.assert_close(masks, again, atol=0, rtol=0)


def test_rise_finds_the_patch_that_counts() -> None:
    """A score that is one patch's brightness: the map peaks there, and its mean is the mean score."""
    from vit.attribution.methods.rise import rise

    images = torch.rand(2, 1, 10, 21, generator=torch.Generator().manual_seed(0))
    images[:, :, 4:6, 9:12] = 5.0

    def score(variants: Tensor, targets: Tensor) -> Tensor:
        return variants[:, 0, 4:6, 9:12].mean((1, 2))

    maps = rise(images, torch.zeros(2, dtype=torch.long), score, (ROWS, COLS), samples=600)
    assert maps.flatten(1).argmax(1).tolist() == [2 * COLS + 3] * 2
    again = rise(images[1:], torch.zeros(1, dtype=torch.long), score, (ROWS, COLS), samples=600)
    torch.testing.assert_close(maps[1:], again)


@pytest.mark.parametrize("method", GRADIENT)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", ["mean", (3, 5)])
def test_a_query_explains_its_own_reading(method: str, kind: str, query: str | tuple[int, int]) -> None:
    """The lens reads that token alone; a map is never empty, and differs from the model's own reading."""
    model = tower(**KINDS[kind])
    maps = vit.attend(model, IMAGES, method, TARGETS, query)
    assert maps.shape == (B, ROWS, COLS)
    assert (maps.flatten(1).amax(1) > 0).all()
    if not (query == "mean" and model.pool_kind == "mean"):
        assert (maps - vit.attend(model, IMAGES, method, TARGETS)).abs().max() > 1e-6


@pytest.mark.parametrize("query", ["mean", (3, 5)])
def test_relevance_of_a_query(query: str | tuple[int, int]) -> None:
    model = tower(registers=2)
    reference = Reference(model, IMAGES)
    patches = reference.states[:, 3:]
    token = patches.mean(1) if query == "mean" else patches[:, 3 * COLS + 5]
    reference.model.head(token).gather(1, TARGETS[:, None]).sum().backward()
    n = reference.weights[0].shape[-1]
    joint = torch.eye(n, dtype=torch.float64).expand(B, n, n).clone()
    for weights in reference.weights:
        joint = joint + (weights.grad * weights).clamp(min=0).mean(1) @ joint
    rows = joint[:, 3:, 3:]
    close(
        vit.attend(model, IMAGES, "relevance", TARGETS, query),
        rows.mean(1) if query == "mean" else rows[:, 3 * COLS + 5],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_singles_and_the_logits_stay(method: str, kind: str) -> None:
    model = tower(**KINDS[kind])
    options = QUICK.get(method, {})
    found = explain(model, IMAGES, method, **options)
    torch.testing.assert_close(found.logits, model(IMAGES).detach(), atol=1e-5, rtol=0)
    singles = torch.cat([vit.attend(model, image[None], method, **options) for image in IMAGES])
    torch.testing.assert_close(found.maps, singles, atol=1e-6, rtol=1e-4)
    if found.targets is not None:
        assert found.targets.tolist() == found.logits.argmax(1).tolist()


@pytest.mark.parametrize("method", GRADIENT)
def test_the_model_is_left_as_it_was(method: str) -> None:
    model = tower()
    model.head.bias.requires_grad_(False)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    vit.attend(model, IMAGES, method)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(block.attention.recorders == {} for block in model.encoder.blocks)
    with torch.inference_mode():  # and under it, with pictures made there
        maps = vit.attend(model, IMAGES + 0, method)
    torch.testing.assert_close(maps, vit.attend(model, IMAGES, method))


@pytest.mark.parametrize("method", OF_A_CLASS)
def test_classes_by_index_label_and_tensor(method: str) -> None:
    model = tower()
    model.labels = [f"kind {index}" for index in range(CLASSES)]
    options = QUICK.get(method, {})
    by_index = vit.attend(model, IMAGES, method, 7, **options)
    torch.testing.assert_close(vit.attend(model, IMAGES, method, "kind 7", **options), by_index)
    torch.testing.assert_close(vit.attend(model, IMAGES, method, torch.full((B,), 7), **options), by_index)
    assert (vit.attend(model, IMAGES, method, 3, **options) - by_index).abs().max() > 1e-6


def test_models_of_timm() -> None:
    import timm

    theirs = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(48, 80), reg_tokens=1).eval()
    ours = vit.from_timm(theirs)
    for method in METHODS:
        maps = vit.attend(ours, torch.randn(2, 3, 48, 80), method, **QUICK.get(method, {}))
        assert maps.shape == (2, 3, 5)


def test_half_precision_still_gives_float32_maps() -> None:
    model = tower().bfloat16()
    for method in METHODS:
        maps = vit.attend(model, IMAGES.bfloat16(), method, **QUICK.get(method, {}))
        assert maps.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_autocast_changes_nothing(method: str) -> None:
    model = tower()
    options = QUICK.get(method, {})
    with torch.autocast("cpu", torch.bfloat16):
        maps = vit.attend(model, IMAGES, method, **options)
    torch.testing.assert_close(maps, vit.attend(model, IMAGES, method, **options), atol=0, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_predicts_in_half_precision_is_explained_exactly(method: str) -> None:
    model = tower()
    options = QUICK.get(method, {})
    exact = explain(model, IMAGES, method, **options)
    model.autocast = torch.bfloat16
    assert not torch.equal(model(IMAGES), exact.logits)
    found = explain(model, IMAGES, method, **options)
    assert torch.equal(found.maps, exact.maps)
    assert torch.equal(found.logits, exact.logits)


def test_a_model_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = tower()
        with pytest.raises(VitError, match="make it outside"):
            vit.attend(model, IMAGES, "relevance")


def test_labels_with_synonyms_and_twins() -> None:
    from vit.attribution.targets import class_index

    labels = ["tench, Tinca tinca", "crane", "cat", "crane"]
    assert class_index("tench", 4, labels) == 0
    assert class_index("2", 4, labels) == 2
    with pytest.raises(VitError, match=r"the classes \[1, 3\] are called"):
        class_index("crane", 4, labels)
    for wrong in (1.9, True, None, [1], 4, -1):
        with pytest.raises(VitError, match="expected a label, or an index from 0 to 3"):
            class_index(wrong, 4, labels)
    with pytest.raises(VitError, match="target is dog, expected an index from 0 to 3"):
        class_index("dog", 4, [])


def test_images_and_models_of_other_kinds_are_named() -> None:
    for method in METHODS:
        with pytest.raises(ValueError, match=r"\(1, 10, 21\), expected \(B, 1, height, width\)"):
            vit.attend(tower(), IMAGES[0], method)
    with pytest.raises(TypeError, match=r"vit\.from_timm"):
        vit.attend(torch.nn.Linear(3, 3), IMAGES)
    with pytest.raises(VitError, match="query is None"):
        vit.attend(tower(), IMAGES, query=None)
    for method in METHODS:
        assert vit.attend(tower(), IMAGES[:0], method, **QUICK.get(method, {})).shape == (0, ROWS, COLS)


@pytest.mark.parametrize("method", ["raw", "rollout", *GRADIENT])
def test_a_layer_that_records_nothing_raises(method: str) -> None:
    model = tower()
    model.encoder.blocks[2].attention.forward = lambda tokens, *_, **__: tokens
    with pytest.raises(RuntimeError, match=r"recorded \d layers of attention, expected \d"):
        vit.attend(model, IMAGES, method)


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("raw", {"layer": 4}, "layer is 4, expected 0 to 3"),
        ("raw", {"head": 2}, "head is 2, expected 0 to 1"),
        ("raw", {"fusion": "sum"}, "'sum', expected one of: mean, max, min"),
        ("rollout", {"discard": 1.0}, "discard is 1.0, expected"),
        ("rollout", {"layer": 1}, "rollout has no option layer: it takes fusion, discard"),
        ("relevance", {"discard": 0.1}, "relevance has no option discard: it takes none"),
        ("relevance", {"target": 11}, "target is 11, expected a label, or an index from 0 to 10"),
        ("relevance", {"target": "dgo"}, "target is dgo; did you mean dog"),
        ("relevance", {"target": torch.tensor([1, 2])}, r"\(2,\), expected \(3,\)"),
        ("relevance", {"target": torch.tensor([1, 2, 99])}, "target is 99"),
        ("occlusion", {"window": 6}, "window is 6 patches, expected 1 to 5"),
        ("rise", {"samples": 0}, "samples is 0"),
    ],
)
def test_bad_words(method: str, arguments: dict[str, object], words: str) -> None:
    model = tower()
    model.labels = ["dog", *map(str, range(1, CLASSES))]
    with pytest.raises(VitError, match=words):
        vit.attend(model, IMAGES, method, **arguments)


def test_a_model_without_a_head_explains_no_class() -> None:
    model = vision_tower(0, (10, 21), channels=1, patch_size=(2, 3), width=26, depth=2, heads=H).eval()
    assert vit.attend(model, IMAGES).shape == (B, ROWS, COLS)
    with pytest.raises(VitError, match="no head: use rollout or raw"):
        vit.attend(model, IMAGES, "relevance")


def test_mass_and_outliers() -> None:
    from vit.attribution.mass import attention_mass, outlier_patches

    states = torch.ones(2, 3 + 5, 4)
    states[0, 4] = 3.0
    states[1, 0] = 9.0  # a class token is no patch
    outliers = outlier_patches(states, 3)
    assert outliers.tolist() == [[False, True, False, False, False], [False] * 5]
    scores = torch.tensor([[0.2, 0.1, 0.1, 0.0, 0.3, 0.1, 0.1, 0.1], [1.0, 0, 0, 1, 0, 0, 0, 0]])
    mass = attention_mass(scores, 3, True, outliers)
    assert list(mass) == ["class", "registers", "outliers", "patches"]
    torch.testing.assert_close(mass["class"], torch.tensor([0.2, 0.5]))
    torch.testing.assert_close(mass["registers"], torch.tensor([0.2, 0.0]))
    torch.testing.assert_close(mass["outliers"], torch.tensor([0.3, 0.0]))
    torch.testing.assert_close(sum(mass.values()), torch.ones(2))
