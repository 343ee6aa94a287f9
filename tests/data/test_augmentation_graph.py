"""Augmentation, mixing and growth wait for no device, are one graph, and give earlier versions' pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torchvision.transforms import v2

from vit.data.augmentation.augment import NO_EPOCH, Augment
from vit.data.augmentation.erasing import random_erasing
from vit.data.augmentation.geometry import affine, compose, random_box
from vit.data.augmentation.mix import Mix
from vit.data.augmentation.policy import (
    OPERATIONS,
    RAND,
    WIDE,
    Limits,
    apply_photometric,
    draw_operations,
    geometric_maps,
)
from vit.data.augmentation.resize import ProgressiveResize, resize
from vit.data.augmentation.tokens import TokenMasking
from vit.data.preprocess import normalise
from vit.data.randomness import derive_seed, uniforms

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
BATCH, HEIGHT, WIDTH = 37, 20, 28
INDICES = torch.arange(100, 100 + BATCH)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"crop": "resized", "flip": False},
    {"policy": "trivial", "erase": 1.0},
    {"policy": "rand", "erase": 0.25},
    {"policy": "rand", "crop": "resized", "rand_ops": 3, "rand_magnitude": 23},
]
with_settings = pytest.mark.parametrize("settings", SETTINGS, ids=str)


@pytest.fixture
def pixels() -> Tensor:
    """Noise of several contrasts, and one flat picture."""
    noise = torch.randint(0, 256, (BATCH, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    noise[::5] = noise[::5] // 4 + 60
    noise[3] = 93
    return noise


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests() -> None:
    torch._dynamo.reset()


# --- the pictures of earlier versions, one at a time ---


def old_blend(base: Tensor, levels: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(base.expand_as(levels), levels, factor).clamp(0, 255).round()


def old_grey(levels: Tensor) -> Tensor:
    if levels.shape[1] == 1:
        return levels
    return (levels * torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True).round()


def old_smooth(levels: Tensor) -> Tensor:
    kernel = torch.ones(levels.shape[1], 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = levels.clone()
    smooth[:, :, 1:-1, 1:-1] = (F.conv2d(levels, kernel, groups=levels.shape[1]) / 13).round()
    return smooth


def old_autocontrast(levels: Tensor) -> Tensor:
    low, high = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    scale = torch.where(high > low, 255 / (high - low).clamp(min=1), 1.0)
    return torch.where(high > low, ((levels - low) * scale).round(), levels)


def old_equalize(levels: Tensor) -> Tensor:
    flat = levels.flatten(2).long()
    counts = torch.stack([torch.bincount(row, minlength=256) for row in flat[0]])[None]
    step = (flat.shape[2] - counts.gather(2, flat.amax(2, keepdim=True))) // 255
    table = ((counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(2, flat), flat).view_as(levels).float()


def old_photometric(levels: Tensor, name: str, strength: Tensor, limits: Limits) -> Tensor:
    """float32 (1, C, height, width) and (1,)."""
    factor, size = 1 + strength * limits.enhance, strength.abs()
    step, threshold = 2.0 ** (8 - (8 - (size * limits.posterize).round())), 255 * (1 - size)
    changes: dict[str, Callable[[], Tensor]] = {
        "brightness": lambda: old_blend(torch.zeros_like(levels), levels, factor),
        "color": lambda: old_blend(old_grey(levels), levels, factor),
        "contrast": lambda: old_blend(old_grey(levels).mean((2, 3), keepdim=True), levels, factor),
        "sharpness": lambda: old_blend(old_smooth(levels), levels, factor),
        "posterize": lambda: (levels / step).floor() * step,
        "solarize": lambda: torch.where(levels >= threshold, 255 - levels, levels),
        "autocontrast": lambda: old_autocontrast(levels),
        "equalize": lambda: old_equalize(levels),
    }
    return changes[name]() if name in changes else levels


def old_warp(levels: Tensor, maps: Tensor) -> Tensor:
    height, width = levels.shape[-2:]
    half = torch.tensor([width / 2, height / 2])
    x, y = torch.arange(width) + 0.5 - half[0], torch.arange(height) + 0.5 - half[1]
    linear, shift = maps[:, :2, :2], maps[:, :2, 2]
    grid = (
        x[None, None, :, None] * linear[:, None, None, :, 0]
        + y[None, :, None, None] * linear[:, None, None, :, 1]
    )
    return F.grid_sample(levels, (grid + shift[:, None, None, :]) / half, align_corners=False).round()


def old_augment(augment: Augment, pixels: Tensor, index: Tensor, epoch: int) -> Tensor:
    """One picture, of a policy or a resized crop."""
    size, number = (pixels.shape[-2], pixels.shape[-1]), 3 * augment.operations
    u = uniforms(augment.seed, epoch, index, 9 + number)
    mirror = ((uniforms(augment.seed, NO_EPOCH, index, 1)[:, 0] < 0.5) ^ (epoch % 2 == 1)) & augment.flip
    one, zero = torch.ones(1), torch.zeros(1)
    if augment.crop == "resized":
        maps = random_box(u[:, :4], augment.scale, size)
    else:
        limits = [round(augment.padding * side) for side in size]
        dy, dx = ((u[:, i] * (2 * limit + 1)).long() - limit for i, limit in enumerate(limits))
        maps = affine(one, zero, zero, one, dx.float(), dy.float())
    maps = compose(maps, affine(torch.where(mirror, -one, one), zero, zero, one, zero, zero))
    drawn = [draw_operations(u[:, i : i + 3], augment.strength) for i in range(9, 9 + number, 3)]
    for operation, strength in drawn:
        maps = compose(maps, geometric_maps(operation, strength, size, augment.limits))
    levels = old_warp(pixels.float(), maps)
    for operation, strength in drawn:
        levels = old_photometric(levels, OPERATIONS[int(operation)], strength, augment.limits)
    images = normalise(levels, MEAN[: pixels.shape[1]], STD[: pixels.shape[1]])
    return random_erasing(images, u[:, 4:9], augment.erase) if augment.erase else images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", SETTINGS[1:], ids=str)
def test_pictures_are_those_of_earlier_versions(
    pixels: Tensor, settings: dict[str, Any], channels: int
) -> None:
    augment = Augment(7, MEAN[:channels], STD[:channels], **settings)
    pixels = pixels[:, :channels]
    for epoch in range(3):
        found = augment(pixels, INDICES, epoch)
        for i in range(BATCH):
            one = old_augment(augment, pixels[i : i + 1], INDICES[i : i + 1], epoch)
            assert torch.equal(found[i], one[0])


@pytest.mark.parametrize("limits", [RAND, WIDE], ids=["rand", "wide"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_that_of_earlier_versions_in_a_graph_and_outside(
    pixels: Tensor, name: str, limits: Limits
) -> None:
    operation, strength = torch.full((BATCH,), OPERATIONS.index(name)), torch.linspace(-1, 1, BATCH)
    levels = pixels.float()
    expected = [old_photometric(levels[i : i + 1], name, strength[i : i + 1], limits) for i in range(BATCH)]
    graph = torch.compile(apply_photometric, backend="eager", fullgraph=True)
    for function in (apply_photometric, graph):
        assert torch.equal(function(levels.clone(), operation, strength, limits), torch.cat(expected))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize("several", [False, True])
def test_mixtures_are_torchvisions(pixels: Tensor, mixup: float, cutmix: float, several: bool) -> None:
    images, targets = normalise(pixels, MEAN, STD), torch.arange(BATCH) % 5
    if several:
        targets = F.one_hot(targets, 5).float()
        targets[2, 1] = torch.nan
    mixers = [
        kind(alpha=alpha, num_classes=5) for kind, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix)) if alpha
    ]
    mix, theirs = Mix(mixup, cutmix, 5, 3), v2.RandomChoice(mixers)
    for epoch in range(9):
        torch.manual_seed(derive_seed(3, epoch, 17))
        for found, expected in zip(mix(images, targets, epoch, 17), theirs(images, targets), strict=True):
            assert torch.equal(found.nan_to_num(-1), expected.nan_to_num(-1))


@with_settings
def test_half_precision_of_the_model_does_not_reach_the_pictures(
    pixels: Tensor, settings: dict[str, Any]
) -> None:
    augment = Augment(7, MEAN, STD, **settings)
    with torch.autocast("cpu", torch.bfloat16):
        found = augment(pixels, INDICES, 3)
    assert torch.equal(found, augment(pixels, INDICES, 3))


# --- one graph ---


@with_settings
def test_augmentation_is_one_graph_whatever_the_epoch(pixels: Tensor, settings: dict[str, Any]) -> None:
    augment = Augment(7, MEAN, STD, **settings)
    counter = CompileCounter()
    graph = torch.compile(augment, backend=counter, fullgraph=True, dynamic=False)
    for epoch in (0, 1, 5):
        assert torch.equal(graph(pixels, INDICES, torch.tensor(epoch)), augment(pixels, INDICES, epoch))
    assert counter.frame_count == 1


def test_mixing_and_growth_are_one_graph_for_each_size(pixels: Tensor) -> None:
    mix, grow = Mix(0.8, 1.0, 5, 3), ProgressiveResize(0.5, 0.6, (4, 4))
    counter = CompileCounter()

    @torch.compile(backend=counter, fullgraph=True, dynamic=False)
    def step(images: Tensor, targets: Tensor, drawn: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        images, targets = mix.blend(images, targets, drawn)
        return resize(images, size), targets

    images, targets = normalise(pixels, MEAN, STD), torch.arange(BATCH) % 5
    sizes = set()
    for epoch, progress in enumerate(torch.linspace(0, 1, 15).tolist()):
        size = grow.size(progress, (HEIGHT, WIDTH))
        sizes.add(size)
        found = step(images, targets, mix.draw(epoch, 17, (HEIGHT, WIDTH)), size)
        mixed, soft = mix(images, targets, epoch, 17)
        assert torch.equal(found[0], grow(mixed, progress))
        assert torch.equal(found[1], soft)
    assert len(sizes) == counter.frame_count == 5


@pytest.mark.slow
@with_settings
def test_compiled_pictures_differ_in_few_pixels(pixels: Tensor, settings: dict[str, Any]) -> None:
    augment = Augment(7, (0.0,) * 3, (1 / 255,) * 3, **settings)
    graph = torch.compile(augment, fullgraph=True, dynamic=False)
    difference = graph(pixels, INDICES, torch.tensor(3)) - augment(pixels, INDICES, 3)
    # Where interpolation is half-way between two levels, it may round otherwise; `equalize` spreads levels.
    assert (difference.abs() > 0.5).float().mean() < 0.005
    assert difference.abs().mean() < 0.02


# --- no waiting ---


@with_settings
def test_nothing_waits_for_a_device(script: Callable[[str], ModuleType], settings: dict[str, Any]) -> None:
    """Tensors without data take the way of a GPU: an operation that needs the data fails or is named."""
    counting = script("count_operations")
    pixels = torch.zeros(BATCH, 3, HEIGHT, WIDTH, dtype=torch.uint8, device="meta")
    indices, epoch = INDICES.to("meta"), torch.zeros((), dtype=torch.int64, device="meta")
    mix, grow = Mix(0.8, 1.0, 5, 3), ProgressiveResize(0.5, 0.6, (4, 4))
    augment = Augment(7, MEAN, STD, **settings).to("meta")
    masking = TokenMasking(7, 0.5, 3, [0, 1]).to("meta")

    def step() -> None:
        images, _ = mix.blend(augment(pixels, indices, epoch), indices, torch.zeros(8, device="meta"))
        assert grow(images, 0.0).shape == (BATCH, 3, 8, 12)
        masking(torch.zeros(BATCH, 5, dtype=torch.int64, device="meta"), indices, epoch)

    counted = counting.count(step)
    assert counted.kinds.total() > 50
    assert not counted.waiting


def test_waiting_is_found(script: Callable[[str], ModuleType]) -> None:
    count, ones = script("count_operations").count, torch.ones(3)
    waits: dict[str, Callable[[], Any]] = {
        "nonzero": ones.nonzero,
        "index by a mask": lambda: ones[ones > 0],
        "_local_scalar_dense": lambda: bool(ones[0]),
        "masked_select": lambda: ones.masked_select(ones > 0),
        "_to_copy between devices": lambda: ones.to("meta"),
    }
    for name, wait in waits.items():
        assert name in count(wait).waiting
    assert not count(lambda: ones[torch.tensor([0])].to(torch.float64)).waiting
    assert count(lambda: ones.view(1, 3).t() + 1).kinds == {"add": 1}


def test_the_table_of_operations(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    output = tmp_path / "counts.json"
    arguments = ["--config", "cifar10_plain_30min", "--batch-size", "2", "--output", str(output)]
    assert script("count_operations").main(arguments) == 0
    counts = json.loads(output.read_text())
    assert set(counts["vit"]) == {
        "forward", "backward", "optimiser", "augmentation", "mixing", "growth",
    }  # fmt: skip
    assert set(counts["timm"]) == {"forward", "backward", "optimiser"}
    for part in ("forward", "backward"):  # at most a tenth above timm's
        ours, peer = (sum(counts[model][part]["kinds"].values()) for model in ("vit plain", "timm"))
        assert ours <= 1.1 * peer
    layers = counts["timm"]["forward"]["kinds"]["native_layer_norm"]
    assert layers == 2 * 6 + 1
    assert not any(part["waiting"] for parts in counts.values() for part in parts.values())
