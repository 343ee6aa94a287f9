"""Optimisers, groups, schedule."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from vit.training.muon import Muon
from vit.training.optim import CombinedOptimizer, build_optimizer, decay_groups, lr_factor
from vit.vision import VisionTransformer

from ..towers import vision_tower


def tower() -> VisionTransformer:
    return vision_tower(3, (8, 8), width=12, depth=1, heads=2, tokenizer="conv", registers=1)


def test_only_matrices_decay() -> None:
    model = tower()
    decayed, free = decay_groups(model.named_parameters(), 0.3)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    for parameter in free["params"]:
        name = names[id(parameter)]
        assert parameter.ndim == 1 or name in ("class_token", "registers", "positions.table"), name
    for parameter in decayed["params"]:
        assert names[id(parameter)].endswith("weight")
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_muon_takes_the_matrices_of_the_encoder_and_all_kernels() -> None:
    model = tower()
    optimizer = build_optimizer(model, "muon", lr=0.1, muon_lr=0.5, weight_decay=0.2)
    assert isinstance(optimizer, CombinedOptimizer)
    muon, adamw = optimizer.parts
    assert isinstance(muon, Muon)
    assert isinstance(adamw, AdamW)
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    assert taken == {
        id(p)
        for n, p in model.named_parameters()
        if p.ndim == 4 or (n.startswith("encoder.") and p.ndim == 2)
    }
    shrink = [
        group["lr"] * group["weight_decay"] for group in optimizer.param_groups if group["weight_decay"]
    ]
    assert shrink == pytest.approx([0.02] * len(shrink))
    with pytest.raises(ValueError, match="'sgd', expected 'adamw' or 'muon'"):
        build_optimizer(model, "sgd")


def two_parameters() -> tuple[nn.Parameter, nn.Parameter]:
    torch.manual_seed(3)
    return nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(5))


def step(optimizer: torch.optim.Optimizer, *parameters: nn.Parameter) -> None:
    optimizer.zero_grad()
    sum(p.square().sum() for p in parameters).backward()
    optimizer.step()


def test_together_equals_apart_and_goes_on_after_a_checkpoint() -> None:
    a, b = two_parameters()
    together = CombinedOptimizer([SGD([a], lr=0.1, momentum=0.9), AdamW([b], lr=0.01)])
    c, d = two_parameters()
    first, second = SGD([c], lr=0.1, momentum=0.9), AdamW([d], lr=0.01)
    for _ in range(3):
        step(together, a, b)
        step(first, c)
        step(second, d)
    assert torch.equal(a, c)
    assert torch.equal(b, d)

    e, f = (nn.Parameter(p.detach().clone()) for p in (a, b))
    resumed = CombinedOptimizer([SGD([e], lr=0.7, momentum=0.9), AdamW([f], lr=0.7)])
    resumed.load_state_dict(deepcopy(together.state_dict()))
    assert [group["lr"] for group in resumed.param_groups] == [0.1, 0.01]
    for _ in range(3):
        step(together, a, b)
        step(resumed, e, f)
    assert torch.equal(a, e)
    assert torch.equal(b, f)


def test_a_schedule_reaches_both_parts() -> None:
    a, b = two_parameters()
    together = CombinedOptimizer([SGD([a], lr=0.1), AdamW([b], lr=0.01)])
    schedule = torch.optim.lr_scheduler.LambdaLR(together, lambda step: 1 / (1 + step))
    step(together, a, b)
    schedule.step()
    assert [part.param_groups[0]["lr"] for part in together.parts] == [0.05, 0.005]


def test_the_schedule() -> None:
    assert lr_factor(0.0, warmup=0.1) == 0.0
    assert lr_factor(0.05, warmup=0.1) == pytest.approx(0.5)
    assert lr_factor(0.1, warmup=0.1) == pytest.approx(1.0)
    for schedule in ("cosine", "linear"):
        assert lr_factor(1.0, schedule=schedule) == pytest.approx(0.0)
        assert lr_factor(7.0, schedule=schedule) == pytest.approx(0.0)
    assert lr_factor(0.55, warmup=0.1, schedule="linear") == pytest.approx(0.5)
    assert lr_factor(0.325, warmup=0.1, schedule="cosine") == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))
    assert lr_factor(0.9, schedule="constant") == 1.0
    assert lr_factor(0.0, warmup=0.0) == 1.0
    with pytest.raises(ValueError, match="'step', expected"):
        lr_factor(0.5, schedule="step")


def by_name(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_rates_of_layers_are_those_of_timm() -> None:
    """But for the last norm: BEiT and MAE give it the rate of the head, timm that of the last block."""
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay

    theirs = timm.create_model(
        "vit_tiny_patch16_224", depth=5, embed_dim=24, num_heads=3, num_classes=7, img_size=32
    )
    ours = vision_tower(7, (32, 32), width=24, depth=5, heads=3, patch_size=(16, 16))
    scales = {
        id(p): group["lr_scale"]
        for group in param_groups_layer_decay(theirs, 0.05, layer_decay=0.7)
        for p in group["params"]
    }
    expected = {name: scales[id(p)] for name, p in theirs.named_parameters()}
    renamed = {
        "class_token": "cls_token", "positions.table": "pos_embed", "tokenizer.project.weight":
        "patch_embed.proj.weight", "head.weight": "head.weight", "head.bias": "head.bias",
        **{f"encoder.blocks.{i}.mlp.expand.weight": f"blocks.{i}.mlp.fc1.weight" for i in range(5)},
        **{f"encoder.blocks.{i}.attention.key.bias": f"blocks.{i}.attn.qkv.bias" for i in range(5)},
    }  # fmt: skip
    found = by_name(build_optimizer(ours, lr=0.3, layer_decay=0.7), ours)
    assert found.keys() == {name for name, _ in ours.named_parameters()}
    for name, other in renamed.items():
        assert found[name][0] == pytest.approx(0.3 * expected[other]), name
    assert found["encoder.norm.weight"][0] == 0.3


def test_rates_of_layers_with_muon() -> None:
    model = vision_tower(3, (8, 8), width=12, depth=2, heads=2, tokenizer="conv", registers=1)
    optimizer = build_optimizer(model, "muon", lr=0.1, muon_lr=0.5, weight_decay=0.2, layer_decay=0.5)
    found = by_name(optimizer, model)
    assert found["encoder.blocks.1.mlp.expand.weight"][0] == 0.25
    assert found["encoder.blocks.0.mlp.expand.weight"][0] == 0.125
    assert found["tokenizer.halvings.0.first.weight"][0] == 0.0625
    assert found["encoder.blocks.0.mlp.expand.bias"] == (0.025, 0.0)
    assert found["registers"] == (0.0125, 0.0)
    assert found["head.weight"] == (0.1, 0.2)
    assert optimizer.param_groups[-1]["lr"] == 0.1, "the one that is logged"


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_without_layer_decay_groups_are_as_they_were(name: str) -> None:
    """Checkpoints of earlier versions hold them."""
    model = tower()
    groups = build_optimizer(model, name, lr=0.1, muon_lr=0.5).param_groups
    named = dict(model.named_parameters())
    muon = [n for n, p in named.items() if p.ndim == 4 or (p.ndim == 2 and n.startswith("encoder."))]
    taken = muon if name == "muon" else []
    decayed = [n for n, p in named.items() if p.ndim > 1 and n.endswith("weight") and n not in taken]
    rest = [n for n in named if n not in taken and n not in decayed]
    names = {id(p): n for n, p in named.items()}
    found = [[names[id(p)] for p in group["params"]] for group in groups]
    assert found == [group for group in (taken, decayed, rest) if group]
    assert [group["lr"] for group in groups] == ([0.5] if taken else []) + [0.1, 0.1]
