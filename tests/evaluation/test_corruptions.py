"""The 15 corruptions: what each does to images whose result is known, and what holds for all."""

import colorsys
import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from vit.data.randomness import generator
from vit.errors import UsageError, VitError
from vit.evaluation.corruptions.corrupt import corrupt
from vit.evaluation.corruptions.filters import convolve, disc, drag, plasma, smooth, zoom
from vit.evaluation.corruptions.ice import ice
from vit.evaluation.corruptions.roster import CORRUPTIONS, SEVERITIES
from vit.evaluation.corruptions.sizes import length_scale, parameter, parameters

SIZES = ((3, 31, 37), (1, 37, 31), (3, 127, 131))
# Dimmer images with more added may be as far from the original: severity is the share that the original does
# not explain.
UNEXPLAINED = ("frost", "fog")


def images(batch: int, channels: int, height: int, width: int) -> Tensor:
    """Smooth shapes with an edge and some texture, of all levels; uint8."""
    rows, cols = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    found = []
    for index in range(batch):
        noise = torch.rand(channels, height, width, generator=generator(index))
        waves = torch.stack(
            [torch.sin((7 + index) * rows + 5 * cols + channel) for channel in range(channels)]
        )
        image = 0.5 + 0.25 * waves + 0.2 * (cols + rows > 1.1) + 0.15 * (smooth(noise, 0.8) - 0.5)
        found.append(image.clamp(0, 1).mul(255).round().to(torch.uint8))
    return torch.stack(found)


def constant(level: int, *shape: int) -> Tensor:
    return torch.full(shape, level, dtype=torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", SIZES)
def test_what_holds_for_all(name: str, shape: tuple[int, int, int]) -> None:
    pixels, indices = images(3, *shape), torch.tensor([5, 2, 1_000_003])
    before = pixels.clone()
    results = [corrupt(pixels, name, severity, indices) for severity in SEVERITIES]
    assert torch.equal(pixels, before)
    for result in results:
        assert result.shape == pixels.shape
        assert result.dtype == torch.uint8
        assert (result != pixels).flatten(1).any(1).all()  # no image is left as it is
        assert result.flatten(1).float().std(1).min() > 1  # nor made blank
    single = torch.cat([corrupt(pixels[i : i + 1], name, 3, indices[i : i + 1]) for i in (2, 0, 1)])
    assert torch.equal(single[[1, 2, 0]], results[2])  # independent of the batch
    differences = [(result.float() - pixels).square().mean() for result in results]
    if name in UNEXPLAINED:
        differences = [unexplained(pixels, result) for result in results]
    for low, high in pairwise(differences):
        assert high > 0.85 * low  # some of the authors' neighbours are nearly the same
    assert differences[-1] > 1.3 * differences[0]


def unexplained(pixels: Tensor, result: Tensor) -> Tensor:
    """The share of the result's variance that no line through the original's levels explains."""
    pairs = zip(pixels.flatten(1).float(), result.flatten(1).float(), strict=True)
    return 1 - torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] ** 2 for pair in pairs]).mean()


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in ("defocus_blur", "zoom_blur")])
def test_random_numbers_follow_seed_and_index(name: str) -> None:
    pixel, zero = images(1, 3, 31, 37), torch.tensor([0])
    first = corrupt(pixel, name, 4, zero)
    others = (corrupt(pixel, name, 4, torch.tensor([1])), corrupt(pixel, name, 4, zero, seed=1))
    is_random = name not in ("brightness", "contrast", "pixelate", "jpeg_compression")
    assert [torch.equal(first, other) for other in others] == [not is_random, not is_random]


def test_noise_has_the_strength_of_the_paper() -> None:
    grey, indices = constant(128, 4, 3, 31, 137), torch.arange(4)
    normal = corrupt(grey, "gaussian_noise", 2, indices).float()
    assert normal.std().item() == pytest.approx(0.06 * 255, rel=0.02)
    assert normal.mean().item() == pytest.approx(128, abs=0.4)
    shot = corrupt(grey, "shot_noise", 3, indices).float()
    assert shot.std().item() == pytest.approx((128 / 255 / 100) ** 0.5 * 255, rel=0.02)
    impulse = corrupt(grey, "impulse_noise", 5, indices)
    salt, pepper = (float((impulse == level).float().mean()) for level in (255, 0))
    assert salt == pytest.approx(0.035, rel=0.1)
    assert pepper == pytest.approx(0.035, rel=0.1)
    assert ((impulse == 128) | (impulse == 255) | (impulse == 0)).all()
    assert corrupt(constant(128, 1, 1, 227, 229), "gaussian_noise", 1, torch.tensor([0])).float().std() > 19


def test_brightness_raises_value_and_keeps_hue_and_saturation() -> None:
    pixels = images(1, 3, 31, 37)
    result = corrupt(pixels, "brightness", 4, torch.tensor([0]))[0].permute(1, 2, 0).reshape(-1, 3)
    for old, new in zip(pixels[0].permute(1, 2, 0).reshape(-1, 3)[::53], result[::53], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(old / 255).tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1))
        assert (new / 255).tolist() == pytest.approx(expected, abs=0.51 / 255)
    grey = corrupt(constant(100, 1, 1, 31, 37), "brightness", 1, torch.tensor([0]))
    assert (grey == round(100 + 0.05 * 255)).all()
    black = corrupt(constant(0, 1, 3, 31, 37), "brightness", 2, torch.tensor([0]))
    assert (black == round(0.1 * 255)).all()


def test_contrast_shrinks_differences_from_the_mean_of_each_channel() -> None:
    pixels = images(2, 3, 31, 37)
    result = corrupt(pixels, "contrast", 5, torch.arange(2)).double()
    mean = pixels.double().mean((2, 3), keepdim=True)
    assert (result - (mean + 0.15 * (pixels - mean))).abs().max() <= 0.51


def test_jpeg_and_pixelate_are_those_of_pillow() -> None:
    for channels in (1, 3):
        pixels = images(1, channels, 31, 37)
        array = pixels[0].permute(1, 2, 0).squeeze(2).numpy() if channels == 1 else None
        picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy() if array is None else array)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=40)
        small = picture.resize((24, 20), Image.Resampling.BOX).resize((37, 31), Image.Resampling.BOX)
        for name, expected in (("jpeg_compression", Image.open(file)), ("pixelate", small)):
            found = corrupt(pixels, name, 5, torch.tensor([0]))[0].permute(1, 2, 0).squeeze(2)
            assert np.array_equal(found.numpy(), np.asarray(expected))


def test_blurs_keep_a_constant_image_and_spread_a_point() -> None:
    for name in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform"):
        for shape in ((1, 3, 31, 37), (1, 1, 89, 97)):
            flat = constant(90, *shape)
            assert torch.equal(corrupt(flat, name, 5, torch.tensor([3])), flat), name


def test_glass_changes_places_and_loses_no_pixel() -> None:
    """At severity 3 of small images there is no blur, so that the result has the same pixels."""
    pixels = torch.arange(31 * 37).remainder(251).to(torch.uint8).view(1, 1, 31, 37)
    result = corrupt(pixels, "glass_blur", 3, torch.tensor([0]))
    assert torch.equal(result.flatten().sort().values, pixels.flatten().sort().values)
    assert (result != pixels).float().mean() > 0.5


def test_filters_against_scipy() -> None:
    image = torch.rand(2, 23, 29)
    kernel = torch.rand(5, 7)
    expected = [ndimage.correlate(part, kernel.numpy(), mode="nearest") for part in image.numpy()]
    np.testing.assert_allclose(convolve(image, kernel).numpy(), np.stack(expected), rtol=1e-5)
    assert disc(3, 0.1).sum() == pytest.approx(1)
    assert (disc(3, 0.1) > 1e-4).sum() == 29  # points of the lattice in a disc of radius 3
    line = torch.exp(-(torch.arange(7) ** 2) / 8)
    kernel = torch.zeros(1, 13)
    kernel[0, 6:] = line / line.sum()
    torch.testing.assert_close(drag(image, 3, 2, 0), convolve(image, kernel))
    torch.testing.assert_close(drag(image, 3, 2, 90), convolve(image, kernel.T))


def test_zoom_is_about_the_centre() -> None:
    rows = torch.arange(11.0)[None, :, None].expand(1, 11, 13)
    one, two = zoom(rows, [1.0, 2.0])
    torch.testing.assert_close(one, rows)
    torch.testing.assert_close(two[0, :, 0], 5 + (torch.arange(11.0) - 5) / 2)


def test_clouds_and_ice_fill_the_range() -> None:
    for size in ((31, 37), (97, 89)):
        cloud, rough = (plasma(size, decay, generator(1)) for decay in (2.5, 1.4))
        assert cloud.shape == size
        assert cloud.min() >= 0
        assert cloud.max() <= 1
        steps = [float(field.diff(dim=1).abs().mean() / field.std()) for field in (cloud, rough)]
        assert steps[1] > 1.5 * steps[0]  # a smaller decay is rougher
        layer = ice(size, 1.0, generator(2))
        assert layer.shape == (1, *size)
        assert layer.min() >= 0
        assert layer.max() <= 1
        assert layer.std() > 0.1


def test_parameters_by_size() -> None:
    small, large = (1.0, 2.0, 3.0, 4.0, 5.0), (11.0, 12.0, 13.0, 14.0, 15.0)
    sides = (8, 32, 224, 384)
    found = [parameter(torch.empty(3, side, 500), 4, small, large) for side in sides]
    assert found == [4.0, 4.0, 14.0, 14.0]
    middle = round((32 * 224) ** 0.5)  # 85
    assert parameter(torch.empty(1, 500, middle), 1, small, large) == pytest.approx(6, abs=0.03)
    rows = parameters(torch.empty(3, 32, 40), 2, [(n, -n) for n in small], [(n, -n) for n in large])
    assert rows == [2.0, -2.0]
    scales = [length_scale(torch.empty(1, 500, side)) for side in (8, 32, 100, 224, 448)]
    assert scales == [1.0, 1.0, 1.0, 1.0, 2.0]


def test_any_size_is_corrupted() -> None:
    for name in CORRUPTIONS:
        for shape in ((1, 1, 1), (3, 2, 13), (3, 8, 8)):
            pixels = images(1, *shape)
            assert corrupt(pixels, name, 5, torch.tensor([0])).shape == pixels.shape


def test_what_is_refused() -> None:
    pixels = images(2, 3, 8, 8)
    with pytest.raises(UsageError, match=r"corruption is 'rain', expected one of: gaussian_noise, "):
        corrupt(pixels, "rain", 1, torch.arange(2))
    with pytest.raises(VitError, match="severity is 6, expected one of 1, 2, 3, 4, 5"):
        corrupt(pixels, "fog", 6, torch.arange(2))
    with pytest.raises(VitError, match=r"pixels are torch.float32 \(2, 3, 8, 8\)"):
        corrupt(pixels.float(), "fog", 1, torch.arange(2))
    with pytest.raises(VitError, match=r"indices have shape \(3,\), expected \(2,\)"):
        corrupt(pixels, "fog", 1, torch.arange(3))


def test_the_roster_imports_no_torch() -> None:
    program = "import sys, vit.evaluation.corruptions.roster; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
