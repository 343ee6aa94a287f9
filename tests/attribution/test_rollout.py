"""Rollout against a float64 reference written from Abnar & Zuidema (2020), section 3."""

import pytest
import torch
from torch import Tensor, nn

import vit
from vit.attribution.methods.rollout import rollout
from vit.attribution.query import parse_query, seed_row
from vit.errors import VitError
from vit.vision import VisionTransformer

from ..towers import vision_tower

B, H, L = 3, 2, 4
ROWS, COLS = 5, 7
IMAGES = torch.randn(B, 1, 10, 21, generator=torch.Generator().manual_seed(1))


def reference(layers: list[Tensor]) -> Tensor:
    """A_l = 0.5 W_l + 0.5 I with W_l the mean over heads; result(l) = A_l result(l-1). One picture a time."""
    pictures = []
    for b in range(len(layers[0])):
        n = layers[0].shape[-1]
        joint = torch.eye(n, dtype=torch.float64)
        for layer in layers:
            mean = torch.zeros(n, n, dtype=torch.float64)
            for head in layer[b].double():
                mean += head / layer.shape[1]
            joint = (0.5 * mean + 0.5 * torch.eye(n, dtype=torch.float64)) @ joint
        pictures.append(joint)
    return torch.stack(pictures)


def tower(**arguments: object) -> VisionTransformer:
    settings = {"patch_size": (2, 3), "width": 26, "depth": L, "heads": H, "channels": 1}
    model = vision_tower(11, (10, 21), **settings | arguments).eval()
    for block in model.encoder.blocks:  # sharp attention, so that mistakes show
        nn.init.normal_(block.attention.query.weight, std=0.8)
    return model


def test_against_the_paper() -> None:
    layers = [torch.randn(B, H, 13, 13).softmax(-1) for _ in range(L)]
    joint = rollout(iter(layers))
    assert (joint.double() - reference(layers)).abs().max() <= 1e-6
    torch.testing.assert_close(joint.sum(-1), torch.ones(B, 13))


KINDS = {
    "cls": ({"pool": "cls"}, 1),
    "registers": ({"pool": "cls", "registers": 3}, 4),
    "mean": ({"pool": "mean", "class_token": False}, 0),
    "mean with class token": ({"pool": "mean", "registers": 2}, 3),
    "attention pool": ({"pool": "attention", "class_token": False}, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_every_kind_of_model(kind: str) -> None:
    arguments, prefix = KINDS[kind]
    model = tower(**arguments)
    with torch.no_grad(), vit.record_attention(model) as tape:
        model(IMAGES)
    joint = reference(tape.weights())
    if kind in ("cls", "registers"):
        expected = joint[:, 0, prefix:]
    elif kind.startswith("mean"):
        expected = joint[:, prefix:, prefix:].mean(1)
    else:
        expected = torch.einsum("bp,bpn->bn", tape.pool_weights().double().mean(1)[:, 0], joint)
    maps = vit.attend(model, IMAGES)
    assert maps.shape == (B, ROWS, COLS)
    assert (maps.double().flatten(1) - expected).abs().max() <= 1e-6
    if prefix == 0:
        torch.testing.assert_close(maps.sum((1, 2)), torch.ones(B))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_singles(kind: str) -> None:
    model = tower(**KINDS[kind][0])
    singles = torch.cat([vit.attend(model, image[None]) for image in IMAGES])
    torch.testing.assert_close(vit.attend(model, IMAGES), singles, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("query", ["4,6", (4, 6)])
def test_from_a_patch(query: str | tuple[int, int]) -> None:
    model = tower(registers=2)
    with torch.no_grad(), vit.record_attention(model) as tape:
        model(IMAGES)
    expected = reference(tape.weights())[:, 3 + 4 * COLS + 6, 3:]
    assert (vit.attend(model, IMAGES, query=query).double().flatten(1) - expected).abs().max() <= 1e-6


def test_from_the_mean_in_a_class_token_model() -> None:
    model = tower()
    with torch.no_grad(), vit.record_attention(model) as tape:
        model(IMAGES)
    expected = reference(tape.weights())[:, 1:, 1:].mean(1)
    assert (vit.attend(model, IMAGES, query="mean").double().flatten(1) - expected).abs().max() <= 1e-6


def test_another_image_size() -> None:
    assert vit.attend(tower(), torch.randn(2, 1, 4, 33)).shape == (2, 2, 11)


def test_a_timm_model() -> None:
    import timm

    theirs = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(48, 80), reg_tokens=1).eval()
    assert vit.attend(vit.from_timm(theirs), torch.randn(2, 3, 48, 80)).shape == (2, 3, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "gradcam"}, "'gradcam', expected one of: raw, rollout"),
        ({"target": 3}, "leave the target out"),
        ({"query": "5,0"}, "patch 5,0, expected 0,0 to 4,6: the grid is 5 x 7"),
        ({"query": "-1,0"}, "patch -1,0"),
        ({"query": "dog"}, "'dog', expected cls, mean"),
        ({"query": "1,2,3"}, "'1,2,3', expected"),
    ],
)
def test_bad_words(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(VitError, match=words):
        vit.attend(tower(), IMAGES, **arguments)


def test_rollout_refuses_nothing_and_odd_shapes() -> None:
    with pytest.raises(ValueError, match="no layers"):
        rollout([])
    with pytest.raises(ValueError, match=r"\(2, 3, 5, 7\), expected"):
        rollout([torch.ones(2, 3, 5, 7)])


def test_queries() -> None:
    assert parse_query("3,4") == (3, 4)
    assert parse_query(" 3, 4 ") == (3, 4)
    assert parse_query("cls") == "cls"
    for query in ("cls", "mean", (1, 2)):
        seed = seed_row(query, (ROWS, COLS), 4, pool="cls")
        assert seed.shape == (1, 4 + ROWS * COLS)
        torch.testing.assert_close(seed.sum(), torch.tensor(1.0))
