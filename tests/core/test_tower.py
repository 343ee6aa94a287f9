"""The interface of towers, and what all blocks of one share."""

import threading
from typing import Any

import pytest
import timm
import torch
from torch import nn

import vit
from vit.core import AttentionPool, BlockSpec, Encoder, attention_slots
from vit.core.tower import Tower
from vit.weights.models import make_tower

from ..towers import block_spec, text_tower, vision_tower

IMAGES = torch.randn(3, 3, 8, 12)
IDS = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 0, 0, 0], [4, 4, 4, 0, 0]])


def towers() -> list[tuple[Any, torch.Tensor]]:
    vision = vision_tower(7, (8, 12), width=22, depth=3, heads=2, registers=1, qk_norm=True)
    text = text_tower(5, 11, width=26, depth=2, heads=2, length=9, segments=2, pooler="tanh")
    for model in (vision, text):
        nn.init.normal_(model.head.weight)
    return [(vision.eval(), IMAGES), (text.eval(), IDS)]


@pytest.mark.parametrize("index", [0, 1])
def test_a_tower_has_the_whole_interface(index: int) -> None:
    model, inputs = towers()[index]
    names = {*Tower.__annotations__, *(name for name in vars(Tower) if not name.startswith("_"))}
    assert {"encoder", "embed", "read_token"} <= names
    assert {name for name in names if not hasattr(model, name)} == set()
    mask = model.mask(inputs)
    states = model.encode(inputs, mask)
    assert states.shape[:2] == model.embed(inputs, mask).shape[:2]
    torch.testing.assert_close(model.read(states, mask), model(inputs))
    rows, cols = model.grid(inputs)
    assert states.shape[1] == model.prefix + rows * cols
    features = model.features(inputs)
    torch.testing.assert_close(model.head(features), model(inputs))


@pytest.mark.parametrize("index", [0, 1])
def test_its_architecture_builds_it_again(index: int) -> None:
    model, inputs = towers()[index]
    again = make_tower(model.architecture).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(inputs), model(inputs))
    assert again.architecture == model.architecture


def test_an_imported_model_says_its_architecture() -> None:
    arguments = {
        "img_size": 16,
        "patch_size": 4,
        "embed_dim": 12,
        "depth": 2,
        "num_heads": 3,
        "num_classes": 5,
    }
    ours = vit.from_timm(timm.models.VisionTransformer(**arguments, global_pool="map", class_token=False))
    again = make_tower(ours.architecture).eval()
    again.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(again(images), ours(images))


@pytest.mark.parametrize("index", [0, 1])
def test_exact_is_what_the_weights_give_and_changes_nothing(index: int) -> None:
    model, inputs = towers()[index]
    plain, features = model(inputs), model.features(inputs)
    model.autocast = torch.bfloat16
    assert not torch.equal(model(inputs), plain)
    assert torch.equal(model(inputs, exact=True), plain)
    assert torch.equal(model.features(inputs, exact=True), features)
    assert model.autocast is torch.bfloat16


def test_layers_are_the_forward_pass() -> None:
    encoder = Encoder(block_spec(10, 2), 3).eval()
    tokens = torch.randn(2, 5, 10)
    *_, last = encoder.layers(tokens)
    assert torch.equal(encoder.norm(last), encoder(tokens))
    detached = list(encoder.layers(tokens.requires_grad_(), detach=True))
    detached[-1].sum().backward()
    assert tokens.grad is None
    assert encoder.blocks[0].mlp.expand.weight.grad is None
    assert encoder.blocks[2].mlp.expand.weight.grad is not None


def test_the_attention_pool_takes_activation_and_biases_of_the_blocks() -> None:
    plain = AttentionPool(block_spec(10, 2, activation="quick_gelu", qkv_bias=False, output_bias=False))
    assert type(plain.mlp.activation).__name__ == "QuickGelu"
    assert [name for name, _ in plain.named_parameters() if name.endswith("bias")] == ["mlp_norm.bias"]
    arguments = {"width": 10, "heads": 2, "depth": 1, "pool": "attention", "qkv_bias": False}
    now = vision_tower(3, (8, 8), **arguments, pool_block=None)
    assert now.pool.attention.query.bias is None
    before = vision_tower(3, (8, 8), **arguments)  # as version 0.1 wrote bundles, whose pools had biases
    assert before.pool.attention.query.bias is not None
    assert before.encoder.blocks[0].attention.query.bias is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "both"}, "'both', expected one of: pre, post, branch"),
        ({"activation": "elu"}, "'elu', expected one of: gelu"),
        ({"parallel": True, "norm": "post"}, "parallel is True, with norm 'post'"),
        ({"parallel": True, "cross": True}, "and cross True: expected 'pre' and False"),
        ({"qkv_bias": (True, False)}, "three: query, key, value"),
        ({"norm_kind": "batch"}, "'batch', expected one of: layer"),
        ({"width": 9}, "9, expected a multiple of heads = 2"),
    ],
)
def test_blocks_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder(BlockSpec(**{"width": 10, "heads": 2, "mlp_ratio": 2.0, **arguments}), 1)


def test_every_attention_has_a_slot() -> None:
    model = vision_tower(3, (8, 8), width=10, heads=2, depth=3, pool="attention", class_token=False)
    assert [tuple(slot) for slot in attention_slots(model)] == [
        ("encoder", 0), ("encoder", 1), ("encoder", 2), ("pool", 0),
    ]  # fmt: skip
    pair = nn.ModuleDict({"image": model, "other": Encoder(block_spec(10, 2), 2)})
    stacks = [slot.stack for slot in attention_slots(pair)]
    assert stacks == ["image.encoder"] * 3 + ["image.pool"] + ["other"] * 2


def test_two_threads_record_one_model_at_once() -> None:
    model = vision_tower(7, (8, 12), width=22, depth=3, heads=2).eval()
    nn.init.normal_(model.head.weight)
    methods = ("rollout", "relevance", "legrad", "raw") * 5
    expected = {method: vit.attend(model, IMAGES, method) for method in set(methods)}
    failures: list[str] = []

    def work(order: tuple[str, ...]) -> None:
        for method in order:
            if not torch.equal(vit.attend(model, IMAGES, method), expected[method]):
                failures.append(method)

    threads = [threading.Thread(target=work, args=(order,)) for order in (methods, methods[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(block.attention.recorders == {} for block in model.encoder.blocks)


def test_a_tape_of_an_encoder_alone_and_of_a_wrapped_tower() -> None:
    model = vision_tower(3, (8, 8), width=10, heads=2, depth=3, pool="attention", class_token=False).eval()
    with torch.no_grad(), vit.record_attention(model) as tape:
        model(IMAGES[:, :, :8, :8])
    with torch.no_grad(), vit.record_attention(model.encoder) as alone:
        model(IMAGES[:, :, :8, :8])
    wrapper = nn.Sequential(model)
    with torch.no_grad(), vit.record_attention(wrapper) as wrapped:
        wrapper(IMAGES[:, :, :8, :8])
    for other in (alone, wrapped):
        assert all(map(torch.equal, tape.weights(), other.weights()))
    pooled, expected = wrapped.pool_weights(), tape.pool_weights()
    assert pooled is not None
    assert expected is not None
    assert torch.equal(pooled, expected)
