"""The tape: exact weights, unchanged logits, and no trace left behind."""

import pytest
import torch
from torch import nn

import vit
from vit.vision import VisionTransformer

from ..towers import vision_tower

B, H, L = 2, 3, 5


def tower(**arguments: object) -> VisionTransformer:
    settings = {"patch_size": (2, 3), "width": 33, "depth": L, "heads": H, "registers": 2, "channels": 1}
    model = vision_tower(7, (10, 21), **settings | arguments).eval()  # 5 x 7 patches
    nn.init.normal_(model.head.weight)
    return model


IMAGES = torch.randn(B, 1, 10, 21)
N = 1 + 2 + 5 * 7


def test_logits_are_the_same_bit_for_bit() -> None:
    model = tower()
    plain = model(IMAGES)
    with vit.record_attention(model) as tape:
        recorded = model(IMAGES)
    assert torch.equal(plain, recorded)
    assert len(tape) == L


@pytest.mark.parametrize("grad", [False, True])
def test_weights_are_those_that_made_the_output(grad: bool) -> None:
    """Mixing each layer's values by the tape's weights gives what its attention put out."""
    model = tower()
    inputs: dict[int, torch.Tensor] = {}
    outputs: dict[int, torch.Tensor] = {}
    for layer, block in enumerate(model.encoder.blocks):
        block.attention.register_forward_hook(
            lambda module, args, out, layer=layer: (
                (
                    inputs.__setitem__(layer, args[0]),
                    outputs.__setitem__(layer, out),
                )[2:]
                or None
            )
        )
    with torch.set_grad_enabled(grad), vit.record_attention(model) as tape:
        model(IMAGES)
    weights = tape.weights()
    assert len(weights) == L
    for layer, (block, matrix) in enumerate(zip(model.encoder.blocks, weights, strict=True)):
        assert matrix.shape == (B, H, N, N)
        torch.testing.assert_close(matrix.sum(-1), torch.ones(B, H, N))
        value = block.attention.value(inputs[layer]).unflatten(-1, (H, -1)).transpose(1, 2)
        rebuilt = block.attention.output((matrix @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(rebuilt, outputs[layer], atol=1e-5, rtol=0)


def test_gradients_reach_the_weights() -> None:
    model = tower()
    with vit.record_attention(model) as tape:
        model(IMAGES)
    tape.weights()[0].square().sum().backward()
    assert model.encoder.blocks[0].attention.query.weight.grad is not None


def test_recording_is_off_before_and_after_even_when_it_fails() -> None:
    model = tower()
    with pytest.raises(ValueError, match="expected"), vit.record_attention(model):
        model(torch.randn(B, 2, 10, 21))
    assert all(block.attention.recorders == {} for block in model.encoder.blocks)


def test_a_tape_inside_a_tape_gives_back_the_outer_one() -> None:
    model = tower()
    with vit.record_attention(model) as outer:
        with vit.record_attention(model) as inner:
            model(IMAGES)
        assert len(outer) == 0
        model(IMAGES[:1])
    assert inner.weights()[0].shape[0] == B
    assert outer.weights()[0].shape[0] == 1


def test_the_last_forward_pass_is_on_the_tape() -> None:
    model = tower()
    with vit.record_attention(model) as tape:
        model(IMAGES)
        model(IMAGES[1:])
    with vit.record_attention(model) as single:
        model(IMAGES[1:])
    assert torch.equal(tape.weights()[-1], single.weights()[-1])


def test_an_incomplete_tape_raises() -> None:
    model = tower()
    with vit.record_attention(model) as tape:
        pass
    with pytest.raises(RuntimeError, match=f"holds 0 layers, expected {L}"):
        tape.weights()


def test_a_model_of_another_library_is_refused() -> None:
    with (
        pytest.raises(TypeError, match=r"Linear has no vit.core.Encoder.*from_timm"),
        vit.record_attention(nn.Linear(2, 2)),
    ):
        pass


def test_pool_weights() -> None:
    model = tower(pool="attention")
    with vit.record_attention(model) as tape:
        model(IMAGES)
    weights = tape.pool_weights()
    assert weights is not None
    assert weights.shape == (B, H, 1, 5 * 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, 1))
    with vit.record_attention(tower()) as tape:
        assert tape.pool_weights() is None


def test_weights_are_float32_under_autocast() -> None:
    model = tower()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), vit.record_attention(model) as tape:
        model(IMAGES)
    assert tape.weights()[0].dtype == torch.float32
