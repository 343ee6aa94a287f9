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


def each(*values):
    """One parameter for each picture."""
    return torch.tensor(values).view(-1, 1, 1, 1)


BASES = {  # what a factor of 0 gives
    "brightness": lambda levels: torch.zeros(()),
    "color": photometric.grey,
    "contrast": lambda levels: photometric.grey(levels).mean((2, 3), keepdim=True),
    "sharpness": photometric.smooth,
}


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("brightness", oracle.adjust_brightness),
        ("color", oracle.adjust_saturation),
        ("contrast", oracle.adjust_contrast),
        ("sharpness", oracle.adjust_sharpness),
    ],
)
def test_blends(levels, name, theirs):
    factor = each(0.01, 0.5, 1.0, 1.7, 1.99)
    ours = photometric.blend(BASES[name](levels), levels, factor)
    difference = ours - singles(theirs, levels, factor.flatten())
    assert difference.abs().max() <= 2  # they cut off fractions, we round, twice each
    assert torch.equal(photometric.blend(BASES[name](levels), levels, torch.ones(())), levels)


def test_posterize(levels):
    bits = each(2, 3, 5, 7, 8)
    assert torch.equal(photometric.posterize(levels, bits), singles(oracle.posterize, levels, bits.flatten()))


def test_solarize(levels):
    threshold = each(0.0, 51.0, 93.0, 127.5, 255.0)
    ours = photometric.solarize(levels, threshold)
    assert torch.equal(ours, singles(oracle.solarize, levels, threshold.flatten()))
    assert torch.equal(photometric.solarize(levels, torch.tensor(256)), levels)


def test_stretch_is_autocontrast(levels):
    levels = levels[:3]  # the flat picture has no contrast
    ours = photometric.stretch(levels, levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True))
    assert (ours - singles(oracle.autocontrast, levels)).abs().max() <= 1
    assert torch.equal(photometric.stretch(levels, torch.tensor(0), torch.tensor(255)), levels)


def test_equalize(levels):
    large = levels.repeat(1, 1, 5, 3)  # enough pixels for a step
    for some in (levels, large):
        index = some.flatten(2).long()
        ours = photometric.equalize(index).gather(2, index).view_as(some)
        assert torch.equal(ours, singles(oracle.equalize, some))


def test_pictures_of_one_channel_are_grey():
    grey = torch.randint(0, 256, (2, 1, 5, 7)).float()
    assert photometric.grey(grey) is grey


def test_pictures_too_small_to_smooth():
    tiny = torch.randint(0, 256, (2, 3, 2, 7)).float()
    assert photometric.smooth(tiny) is tiny
