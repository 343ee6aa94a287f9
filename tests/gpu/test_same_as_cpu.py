"""Logits, embeddings and maps on a GPU are those of the CPU, to the precision of the dtype."""

from typing import Any

import pytest
import torch

import vit
from vit.attribution.roster import METHODS
from vit.device import half_dtype
from vit.weights.models import make_tower

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact_products")]

# float32: sums in another order. Half precision: of the largest logit, after 3 layers.
FLOAT32, HALF = 1e-4, 3e-2
TOWERS: dict[str, dict[str, Any]] = {
    "class token": {"class_token": True},
    "mean": {"class_token": False, "pool": "mean", "qk_norm": True, "layer_scale": 0.1},
    "registers": {"class_token": True, "registers": 2, "activation": "silu", "gated": True},
    "pool": {"class_token": False, "pool": "attention"},
}
OPTIONS = {"rise": {"samples": 20}}


def tower(name: str) -> Any:
    """An image model of 5 x 7 patches and random weights."""
    shape = {"image_size": (20, 28), "patch_size": (4, 4), "width": 24, "depth": 3, "heads": 3}
    model = make_tower(shape | {"classes": 7} | TOWERS[name]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.labels = [str(index) for index in range(7)]
    return model


@pytest.mark.parametrize("name", TOWERS)
def test_logits(name: str, cuda: torch.device) -> None:
    model = tower(name)
    images = torch.randn(5, 3, 20, 28)
    with torch.inference_mode():
        here, states = model(images), model.encode(images)
        model.to(cuda)
        there = model(images.to(cuda)).cpu()
        torch.testing.assert_close(there, here, atol=FLOAT32, rtol=FLOAT32)
        torch.testing.assert_close(model.encode(images.to(cuda)).cpu(), states, atol=FLOAT32, rtol=FLOAT32)
        for dtype in {torch.float16, half_dtype("cuda") or torch.float16}:
            model.autocast = dtype
            half = model(images.to(cuda)).cpu()
            assert not torch.equal(half, there)
            torch.testing.assert_close(half, here, atol=HALF * float(here.abs().max()), rtol=0)
            torch.testing.assert_close(model(images.to(cuda), exact=True).cpu(), there)


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("method", METHODS)
def test_maps(method: str, name: str, cuda: torch.device) -> None:
    model = tower(name)
    images = torch.randn(2, 3, 20, 28)
    target = 3 if METHODS[method].explains_class else None
    options = OPTIONS.get(method, {})
    here = vit.attend(model, images, method, target, **options)
    model.to(cuda)
    there = vit.attend(model, images.to(cuda), method, target, **options)
    assert there.device.type == "cuda"
    scale = float(here.abs().max())
    torch.testing.assert_close(there.cpu(), here, atol=FLOAT32 * max(scale, 1e-3), rtol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
def test_texts_with_padding(causal: bool, cuda: torch.device) -> None:
    shape = {"tower": "text", "vocabulary": 31, "length": 13, "width": 24, "depth": 3, "heads": 3}
    pool = {"causal": True, "pool": "last"} if causal else {}
    model = make_tower(shape | {"classes": 31, "padding": 0} | pool).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = torch.randint(1, 31, (4, 13))
    mask = torch.arange(13) < torch.tensor([13, 7, 2, 11])[:, None]
    ids = ids.where(mask, 0)
    with torch.inference_mode():
        here = model(ids, mask)
        model.to(cuda)
        there = model(ids.to(cuda), mask.to(cuda)).cpu()
    torch.testing.assert_close(there, here, atol=FLOAT32, rtol=FLOAT32)


def test_gradients(cuda: torch.device) -> None:
    """Of a training step of the whole tower, in float32."""
    here, there = tower("class token").train(), tower("class token")
    there.load_state_dict(here.state_dict())
    there.to(cuda).train()
    images, targets = torch.randn(5, 3, 20, 28), torch.tensor([0, 6, 3, 2, 2])
    for model, place in ((here, torch.device("cpu")), (there, cuda)):
        logits = model(images.to(place))
        torch.nn.functional.cross_entropy(logits, targets.to(place)).backward()
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad.cpu(), one.grad, atol=1e-4, rtol=1e-3, msg=name)
