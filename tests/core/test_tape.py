"""The tape: exact weights, unchanged logits, and no trace left behind."""

import pytest
import torch
from torch import nn

import vit
from vit.text.seq2seq import EncoderDecoder
from vit.vision import VisionTransformer

from ..towers import block_spec, vision_tower

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


def encoder_decoder(**arguments: object) -> EncoderDecoder:
    model = EncoderDecoder(23, block_spec(12, H), depth=2, decoder_depth=4, length=17, **arguments).eval()
    for name, parameter in model.named_parameters():
        if "query" in name:
            nn.init.normal_(parameter, std=0.4)
    return model


@pytest.mark.parametrize("relative", [None, {"kind": "buckets", "buckets": 6, "max_distance": 9}])
def test_the_stacks_of_an_encoder_decoder(relative: dict | None) -> None:
    """Self-attention and attention to the source have stacks of their own, each with all its layers."""
    model = encoder_decoder(relative=relative)
    source, target = torch.randint(1, 23, (B, 7)), torch.randint(1, 23, (B, 5))
    mask = torch.ones(B, 7, dtype=torch.bool)
    mask[1, 4:] = False
    plain = model(source, mask, target)
    with vit.record_attention(model) as tape:
        recorded = model(source, mask, target)
    assert torch.equal(plain, recorded)
    assert tape.depths == {"encoder": 2, "decoder": 4, "decoder.cross": 4}
    assert len(tape) == 2
    shapes = {"encoder": (7, 7), "decoder": (5, 5), "decoder.cross": (5, 7)}
    for stack, shape in shapes.items():
        assert len(tape.weights(stack)) == tape.depths[stack]
        for weights in tape.weights(stack):
            assert weights.shape == (B, H, *shape)
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    assert all((weights[..., later] == 0).all() for weights in tape.weights("decoder"))
    for stack in ("encoder", "decoder.cross"):
        assert all((weights[1, ..., 4:] == 0).all() for weights in tape.weights(stack))
    torch.testing.assert_close(tape.weights(), tape.weights("encoder"), atol=0, rtol=0)


def test_weights_to_the_source_made_the_output() -> None:
    """Mixing the source's values by the tape's weights gives what the attention to it put out."""
    model = encoder_decoder()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in model.decoder.blocks:
        block.cross.register_forward_hook(lambda module, args, out: seen.append((args[1], out)))
    with vit.record_attention(model) as tape:
        model(torch.randint(1, 23, (B, 7)), None, torch.randint(1, 23, (B, 5)))
    layers = zip(model.decoder.blocks, tape.weights("decoder.cross"), seen, strict=True)
    for block, weights, (source, out) in layers:
        value = block.cross.value(source).unflatten(-1, (H, -1)).transpose(1, 2)
        rebuilt = block.cross.output((weights @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(rebuilt, out, atol=1e-5, rtol=0)


def test_a_stack_that_is_not_there_is_named() -> None:
    model = tower()
    with vit.record_attention(model) as tape:
        model(IMAGES)
    with pytest.raises(ValueError, match="stack is 'decoder', expected one of: encoder"):
        tape.weights("decoder")
