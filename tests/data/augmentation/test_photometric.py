import pytest
import torch
from torchvision.transforms.v2 import functional as oracle

from vit.data.augmentation import photometric

BATCH, HEIGHT, WIDTH = 5, 13, 17


@pytest.fixture(params=[1, 3])
def levels(request):
    """Noise of several contrasts, and one flat picture: float32 (BATCH, C, HEIGHT, WIDTH)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (BATCH, request.param, HEIGHT, WIDTH), generator=generator).float()
    noise[1] = (noise[1] / 4 + 60).round()
    noise[2] = (noise[2] ** 2 / 255).round()
    noise[3] = 93
    return noise


def singles(function, levels, *strengths):
    """torchvision's answer, picture by picture."""
    strengths = [strength.tolist() for strength in strengths]
    rows = [function(one.to(torch.uint8), *extra) for one, *extra in zip(levels, *strengths, strict=True)]
    return torch.stack(rows).float()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (photometric.brightness, oracle.adjust_brightness),
        (photometric.color, oracle.adjust_saturation),
        (photometric.contrast, oracle.adjust_contrast),
        (photometric.sharpness, oracle.adjust_sharpness),
    ],
)
def test_blends(levels, ours, theirs):
    factor = torch.tensor([0.01, 0.5, 1.0, 1.7, 1.99])
    difference = ours(levels, factor) - singles(theirs, levels, factor)
    assert difference.abs().max() <= 2  # they cut off fractions, we round, twice each


def test_posterize(levels):
    bits = torch.tensor([2, 3, 5, 7, 8])
    assert torch.equal(photometric.posterize(levels, bits), singles(oracle.posterize, levels, bits))


def test_solarize(levels):
    threshold = torch.tensor([0.0, 51.0, 93.0, 127.5, 255.0])
    assert torch.equal(photometric.solarize(levels, threshold), singles(oracle.solarize, levels, threshold))


def test_autocontrast(levels):
    difference = photometric.autocontrast(levels) - singles(oracle.autocontrast, levels)
    assert difference.abs().max() <= 1


def test_equalize(levels):
    large = levels.repeat(1, 1, 5, 3)  # enough pixels for a step
    for some in (levels, large):
        assert torch.equal(photometric.equalize(some), singles(oracle.equalize, some))


def test_a_factor_of_one_changes_nothing(levels):
    one = torch.ones(BATCH)
    for change in (photometric.brightness, photometric.color, photometric.contrast, photometric.sharpness):
        assert torch.equal(change(levels, one), levels)


def test_grey_pictures_have_no_color():
    grey = torch.randint(0, 256, (2, 1, 5, 7)).float()
    assert torch.equal(photometric.color(grey, torch.zeros(2)), grey)


def test_pictures_too_small_to_smooth():
    tiny = torch.randint(0, 256, (2, 3, 2, 7)).float()
    assert torch.equal(photometric.sharpness(tiny, torch.zeros(2)), tiny)
