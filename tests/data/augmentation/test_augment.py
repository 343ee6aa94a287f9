import itertools

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as oracle

from vit.data.augmentation.augment import Augment
from vit.data.augmentation.geometry import affine, compose, random_box, shift_and_flip, warp
from vit.data.augmentation.policy import (
    OPERATIONS,
    RAND,
    WIDE,
    apply_photometric,
    draw_operations,
    geometric_maps,
)
from vit.data.preprocess import normalise
from vit.data.randomness import uniforms
from vit.errors import VitError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
BATCH, HEIGHT, WIDTH = 11, 13, 17
INDICES = torch.arange(100, 100 + BATCH)
SETTINGS = [
    {},
    {"crop": "none"},
    {"crop": "resized"},
    {"policy": "trivial"},
    {"policy": "rand", "crop": "none"},
    {"policy": "rand", "crop": "resized", "rand_ops": 3, "erase": 0.5},
    {"policy": "trivial", "erase": 1.0},
]


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (BATCH, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_equals_its_pictures_one_by_one(pixels, settings, channels):
    pixels = pixels[:, :channels]
    augment = Augment(7, MEAN[:channels], STD[:channels], **settings)
    before = pixels.clone()
    batch = augment(pixels, INDICES, 3)
    assert torch.equal(pixels, before)
    assert batch.shape == pixels.shape
    assert batch.dtype == torch.float32
    for i in range(BATCH):
        assert torch.equal(augment(pixels[i : i + 1], INDICES[i : i + 1], 3)[0], batch[i])
    order = torch.randperm(BATCH)
    assert torch.equal(augment(pixels[order], INDICES[order], 3), batch[order])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_seed_and_epoch_decide_and_torchs_generator_does_not(pixels, settings):
    first = Augment(7, MEAN, STD, **settings)(pixels, INDICES, 3)
    torch.manual_seed(5)
    assert torch.equal(Augment(7, MEAN, STD, **settings)(pixels, INDICES, 3), first)
    assert not torch.equal(Augment(7, MEAN, STD, **settings)(pixels, INDICES, 4), first)
    assert not torch.equal(Augment(8, MEAN, STD, **settings)(pixels, INDICES, 3), first)


def test_with_everything_off_it_normalises(pixels):
    plain = Augment(0, MEAN, STD, crop="none", flip=False)(pixels, INDICES, 0)
    assert torch.equal(plain, normalise(pixels, MEAN, STD))


def test_an_empty_batch(pixels):
    for settings in SETTINGS:
        assert Augment(0, MEAN, STD, **settings)(pixels[:0], INDICES[:0], 0).shape == (0, 3, HEIGHT, WIDTH)


def test_padded_crops_and_flips_are_all_drawn_and_exact():
    """Every result is one of the 2 * (2 * 2 + 1) * (2 * 3 + 1) crops of the padded picture, and all occur."""
    picture = torch.arange(1, 1 + HEIGHT * WIDTH, dtype=torch.uint8).view(1, 1, HEIGHT, WIDTH)
    padding = 0.17  # round(0.17 * 13) = 2, round(0.17 * 17) = 3
    padded = F.pad(picture, (3, 3, 2, 2))[0]
    expected = set()
    for top, left, mirror in itertools.product(range(5), range(7), (False, True)):
        crop = padded[:, top : top + HEIGHT, left : left + WIDTH]
        expected.add(tuple((crop.flip(-1) if mirror else crop).flatten().tolist()))
    n = 2000
    augment = Augment(0, (0.0,), (1 / 255,), padding=padding)
    found = augment(picture.expand(n, 1, HEIGHT, WIDTH), torch.arange(n), 0).round().int()
    assert {tuple(image.flatten().tolist()) for image in found} == expected


def test_the_affine_path_agrees_with_the_exact_one(pixels):
    dy, dx = torch.randint(-4, 5, (2, BATCH))
    mirror = torch.arange(BATCH) % 2 == 0
    one, zero = torch.ones(BATCH), torch.zeros(BATCH)
    crop = affine(one, zero, zero, one, dx.float(), dy.float())
    flip = affine(torch.where(mirror, -1.0, 1.0), zero, zero, one, zero, zero)
    expected = shift_and_flip(pixels, dy, dx, mirror)
    assert torch.equal(warp(pixels.float(), compose(crop, flip)).to(torch.uint8), expected)


def test_composition_is_the_matrix_product():
    first, second = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(compose(first, second), first @ second)


def one_operation(name, strength):
    return torch.tensor([OPERATIONS.index(name)]), torch.tensor([strength])


def degrees(slope):
    return torch.tensor(slope).atan().rad2deg().item()


@pytest.mark.parametrize("strength", [-0.4, 0.4])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rotate", lambda s: {"angle": -135 * s}),
        ("translate_x", lambda s: {"translate": [-17 * s, 0]}),
        ("translate_y", lambda s: {"translate": [0, -13 * s]}),
        ("shear_x", lambda s: {"shear": [degrees(0.99 * s), 0]}),
        ("shear_y", lambda s: {"shear": [0, degrees(0.99 * s)]}),
    ],
)
def test_geometry_is_torchvisions(pixels, name, arguments, strength):
    """Up to the sign, which is a convention: both occur equally often."""
    ours = warp(pixels[:1].float(), geometric_maps(*one_operation(name, strength), (HEIGHT, WIDTH), WIDE))
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    bilinear = InterpolationMode.BILINEAR
    theirs = oracle.affine(pixels[:1].float(), **(plain | arguments(strength)), interpolation=bilinear)
    assert (ours - theirs).abs().max() <= 0.51  # ours are whole levels


def test_a_resized_box_shows_a_part_of_the_picture():
    u = uniforms(0, 0, torch.arange(2000), 4)
    maps = random_box(u, (0.35, 0.8), (HEIGHT, WIDTH))
    wide, tall = maps[:, 0, 0], maps[:, 1, 1]
    corners = torch.tensor([[-WIDTH / 2, -HEIGHT / 2, 1], [WIDTH / 2, HEIGHT / 2, 1]])
    placed = maps @ corners.T
    assert (placed[:, 0].abs() <= WIDTH / 2 + 1e-4).all()
    assert (placed[:, 1].abs() <= HEIGHT / 2 + 1e-4).all()
    uncut = (wide < 1) & (tall < 1)
    ratio = (wide * WIDTH / (tall * HEIGHT))[uncut]
    area = (wide * tall)[uncut]
    assert uncut.float().mean() > 0.8
    assert ratio.min() > 0.749
    assert ratio.max() < 1.334
    assert area.min() > 0.349
    assert area.max() < 0.801
    half = random_box(torch.tensor([[0.0, 0.5, 0.5, 0.5]]), (0.25, 1.0), (16, 16))
    torch.testing.assert_close(half[0], torch.diag(torch.tensor([0.5, 0.5, 1.0])))


def test_a_resized_box_is_torchvisions_resize(pixels):
    zero = torch.zeros(1)
    maps = affine(torch.tensor([5 / 17]), zero, zero, torch.tensor([7 / 13]), torch.tensor([1.0]), zero - 1)
    # The box of 7 x 5 whose centre is (1, -1) off the picture's: rows 2 to 8, columns 7 to 11.
    ours = warp(pixels[:1].float(), maps)
    theirs = oracle.resize(pixels[:1, :, 2:9, 7:12].float(), [HEIGHT, WIDTH], antialias=False)
    inside = (slice(None), slice(None), slice(1, -1), slice(2, -2))  # at its rim, ours sees beyond the box
    assert (ours - theirs)[inside].abs().max() <= 0.51


def test_operations_and_strengths_are_drawn_evenly():
    operation, strength = draw_operations(uniforms(0, 0, torch.arange(28_000), 3), None)
    counts = operation.bincount(minlength=len(OPERATIONS))
    assert counts.min() > 1800
    assert counts.max() < 2200
    assert torch.equal((strength.abs() * 30).round().unique(), torch.arange(31.0))
    assert strength.mean().abs() < 0.02
    fixed = draw_operations(uniforms(0, 0, torch.arange(50), 3), 0.3)[1]
    torch.testing.assert_close(fixed.abs(), torch.full((50,), 0.3))


@pytest.mark.parametrize(
    ("name", "strength", "limits", "theirs"),
    [
        ("brightness", 1.0, WIDE, lambda x: oracle.adjust_brightness(x, 1.99)),
        ("brightness", -1.0, WIDE, lambda x: oracle.adjust_brightness(x, 0.01)),
        ("color", 0.5, RAND, lambda x: oracle.adjust_saturation(x, 1.45)),
        ("contrast", -0.5, RAND, lambda x: oracle.adjust_contrast(x, 0.55)),
        ("sharpness", 1.0, WIDE, lambda x: oracle.adjust_sharpness(x, 1.99)),
        ("posterize", 1.0, WIDE, lambda x: oracle.posterize(x, 2)),
        ("posterize", -1.0, RAND, lambda x: oracle.posterize(x, 4)),
        ("solarize", 0.6, WIDE, lambda x: oracle.solarize(x, 102)),
        ("autocontrast", 1.0, WIDE, oracle.autocontrast),
        ("equalize", 1.0, WIDE, oracle.equalize),
        ("identity", 1.0, WIDE, lambda x: x),
        ("rotate", 1.0, WIDE, lambda x: x),
    ],
)
def test_color_operations_have_their_papers_ranges(pixels, name, strength, limits, theirs):
    ours = apply_photometric(pixels[:1].float(), *one_operation(name, strength), limits)
    assert (ours - theirs(pixels[:1]).float()).abs().max() <= 2


def test_geometry_has_its_papers_ranges():
    def largest(name, limits, size=(224, 331)):
        return geometric_maps(*one_operation(name, 1.0), size, limits)[0]

    assert largest("shear_x", WIDE)[0, 1] == pytest.approx(0.99)
    assert largest("shear_y", RAND)[1, 0] == pytest.approx(0.3)
    assert largest("translate_x", WIDE)[0, 2] == 32
    assert largest("translate_x", RAND)[0, 2] == pytest.approx(150)
    assert largest("translate_y", WIDE, (8, 9))[1, 2] == 8
    assert largest("rotate", RAND)[0, 0] == pytest.approx(0.8660254)


@pytest.mark.parametrize(
    "bad",
    [
        {"crop": "centre"},
        {"policy": "auto"},
        {"padding": -0.1},
        {"scale": (0.5, 0.4)},
        {"rand_magnitude": 31},
        {"rand_ops": -1},
        {"erase": 1.5},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(VitError, match=rf"augment\.{next(iter(bad))} is .*, expected"):
        Augment(0, MEAN, STD, **bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_gpu_gives_the_same_pictures(pixels, settings):
    augment = Augment(7, MEAN, STD, **settings)
    with torch.autocast("cuda", torch.bfloat16):
        theirs = augment(pixels.cuda(), INDICES, 3).cpu()
    ours = augment(pixels, INDICES, 3)
    assert (ours - theirs).abs().mean() < 0.02  # a level may round the other way


def test_two_epochs_show_every_picture_both_ways(pixels):
    settings = {"crop": "none", "flip": True}
    first, second, third = (Augment(3, MEAN, STD, **settings)(pixels, INDICES, epoch) for epoch in range(3))
    assert torch.equal(first, second.flip(-1))
    assert torch.equal(first, third)
    upright = normalise(pixels, MEAN, STD)
    mirrored = [not torch.equal(one, other) for one, other in zip(first, upright, strict=True)]
    assert any(mirrored)
    assert not all(mirrored)
