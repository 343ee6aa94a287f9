import io
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from vit.data.preprocess import Preprocess, levels
from vit.errors import VitError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def noise(height, width, channels=3):
    shape = (height, width, channels) if channels == 3 else (height, width)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.9])
@pytest.mark.parametrize("picture", [(61, 67), (31, 97), (97, 31), (13, 11), (29, 29)])
def test_pixels_are_those_of_torchvisions_resize_and_centre_crop(picture, crop, interpolation):
    size = 29
    preprocess = Preprocess(size, size, 3, MEAN, STD, crop, interpolation)
    oracle = v2.Compose(
        [v2.Resize(int(size / crop), InterpolationMode(interpolation)), v2.CenterCrop(size), v2.PILToTensor()]
    )
    # Pillow chooses by size which axis to resize first, and rounds and clips in between: no extreme levels.
    source = noise(*picture).point(lambda level: 90 + level // 4)
    difference = preprocess.pixels(source).int() - oracle(source).int()
    assert difference.abs().max() <= 1


def test_normalised_as_torchvision_does():
    preprocess = Preprocess(13, 17, 3, MEAN, STD)
    source = noise(13, 17)
    oracle = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    assert preprocess(source).dtype == torch.float32
    torch.testing.assert_close(preprocess(source), oracle(source))
    batch = torch.stack([preprocess.pixels(source)] * 2)
    assert torch.equal(preprocess.normalise(batch)[1], preprocess(source))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_size_is_left_alone(channels):
    preprocess = Preprocess(13, 17, channels, (0.5,) * channels, (0.5,) * channels)
    source = noise(13, 17, channels)
    window = preprocess.window(source)
    assert window.mode == ("L" if channels == 1 else "RGB")
    assert np.array_equal(np.asarray(window), np.asarray(source))
    assert preprocess.pixels(source).shape == (channels, 13, 17)


def test_the_window_keeps_the_aspect_ratio_and_the_centre():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    assert np.asarray(Preprocess(20, 20).window(Image.fromarray(wide))).min() == 255
    assert Preprocess(13, 17).window(Image.fromarray(wide)).size == (17, 13)


def test_levels_are_the_pixels_as_they_are():
    preprocess = Preprocess(13, 17, crop=0.8)
    window = preprocess.window(noise(31, 37))
    assert torch.equal(levels(window), preprocess.pixels(noise(31, 37)))
    assert torch.equal(levels(noise(13, 17, 1))[0], torch.from_numpy(np.array(noise(13, 17, 1))))


def test_very_long_pictures_stay_cheap():
    assert Preprocess(23, 29).pixels(noise(1, 50_000)).shape == (3, 23, 29)
    assert Preprocess(23, 29, crop=0.5).pixels(noise(50_000, 1)).shape == (3, 23, 29)


def test_modes_are_unified():
    grey = Preprocess(13, 17, 1, (0.5,), (0.5,))
    assert grey.pixels(noise(13, 17)).shape == (1, 13, 17)
    clear = Image.new("RGBA", (17, 13), (0, 0, 0, 0))
    assert Preprocess(13, 17).pixels(clear).min() == 255


def test_json_round_trip():
    preprocess = Preprocess(13, 17, 3, MEAN, STD, 0.9, "lanczos", "pad")
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


def test_a_dictionary_older_than_resize_crops():
    old = Preprocess(13, 17, crop=0.9).to_dict()
    assert old.pop("resize") == "crop"
    assert Preprocess.from_dict(old) == Preprocess(13, 17, crop=0.9)


def test_from_dict_is_strict():
    good = Preprocess(13, 17).to_dict()
    with pytest.raises(VitError, match=r"unknown keys \['sharpen'\]"):
        Preprocess.from_dict(good | {"sharpen": 1})
    del good["crop"]
    with pytest.raises(VitError, match=r"lacks the keys \['crop'\]"):
        Preprocess.from_dict(good)


@pytest.mark.parametrize(
    "bad",
    [
        {"height": 0},
        {"channels": 4},
        {"channels": 1},
        {"mean": (0.5,)},
        {"std": (0.5, 0.5, 0.0)},
        {"crop": 0.0},
        {"crop": 1.1},
        {"interpolation": "cubic"},
        {"resize": "stretch"},
    ],
)
def test_bad_values_are_refused(bad):
    with pytest.raises(VitError, match="expected"):
        Preprocess(**({"height": 13, "width": 17} | bad))


def test_normalise_names_a_wrong_number_of_channels():
    with pytest.raises(VitError, match=r"shape \(1, 13, 17\), expected \(..., 3, height, width\)"):
        Preprocess(13, 17).normalise(torch.zeros(1, 13, 17, dtype=torch.uint8))


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_gives_the_same_pixels_however_it_comes(tmp_path, resize, orientation, channels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    noise(271, 397).save(path, "JPEG", exif=exif)  # so large that a reduced scale would be used
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    preprocess = Preprocess(13, 17, channels, (0.4,) * channels, (0.3,) * channels, 0.9, resize=resize)
    expected = preprocess(upright)
    assert expected.dtype == torch.float32
    assert expected.shape == (channels, 13, 17)
    file = io.BytesIO(path.read_bytes())
    for source in (path, str(path), path.read_bytes(), file, Image.open(path), np.array(upright)):
        assert torch.equal(preprocess(source), expected)
    for picture in (Image.open(path), upright):
        window = preprocess.window(picture)
        assert torch.equal(preprocess.normalise(levels(window)), expected)
    assert torch.equal(preprocess.pixels(path), levels(preprocess.read(path)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pillow_images_and_files_of_every_mode_give_the_same_pixels(mode):
    colored = mode in ("P", "RGBA", "CMYK")
    picture = noise(31, 37).convert(mode) if colored else noise(31, 37, 1).convert(mode)
    file = io.BytesIO()
    picture.save(file, "TIFF")
    preprocess = Preprocess(13, 17)
    assert torch.equal(preprocess(picture), preprocess(file.getvalue()))
    assert torch.equal(preprocess(Image.open(file)), preprocess(file.getvalue()))


def test_grey_arrays_and_pictures_fill_three_channels():
    grey = noise(31, 37, 1)
    pixels = Preprocess(13, 17).pixels(np.asarray(grey))
    assert torch.equal(pixels, Preprocess(13, 17).pixels(grey))
    assert torch.equal(pixels[0], pixels[2])


def test_what_is_no_picture_is_refused():
    found = r"torch.Tensor of shape \(3, 13, 17\) and dtype torch.uint8, expected a path"
    with pytest.raises(VitError, match=found):
        Preprocess(13, 17)(torch.zeros(3, 13, 17, dtype=torch.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("picture", [(61, 67), (31, 97), (97, 31), (5, 3)])
def test_squashed_pixels_are_those_of_torchvisions_resize(picture, interpolation):
    preprocess = Preprocess(29, 23, interpolation=interpolation, resize="squash")
    oracle = v2.Compose([v2.Resize((29, 23), InterpolationMode(interpolation)), v2.PILToTensor()])
    assert torch.equal(preprocess.pixels(noise(*picture)), oracle(noise(*picture)))
    preprocess = Preprocess(29, 23, interpolation=interpolation, resize="squash", crop=0.8)
    resized = v2.Resize((36, 28), InterpolationMode(interpolation))  # 29 / 0.8, 23 / 0.8
    oracle = v2.Compose([resized, v2.CenterCrop((29, 23)), v2.PILToTensor()])
    source = noise(*picture).point(lambda level: 90 + level // 4)
    assert (preprocess.pixels(source).int() - oracle(source).int()).abs().max() <= 1


@pytest.mark.parametrize("crop", [1.0, 0.8])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("picture", [(61, 67), (31, 97), (97, 31), (5, 3), (29, 23)])
def test_padded_pixels_are_those_of_timm(picture, channels, crop):
    from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio

    size = (29, 23)
    whole = (int(29 / crop), int(23 / crop))
    mean = (0.1,) * channels  # the border does not depend on it
    preprocess = Preprocess(*size, channels, mean, mean, crop, "bilinear", "pad")
    oracle = v2.Compose(
        [
            ResizeKeepRatio(whole, longest=1.0, interpolation="bilinear"),
            CenterCropOrPad(size, fill=(128,) * channels if channels == 3 else 128),
            v2.PILToTensor(),
        ]
    )
    source = noise(*picture, channels).point(lambda level: 90 + level // 4)
    assert (preprocess.pixels(source).int() - oracle(source).int()).abs().max() <= 1


def test_a_padded_picture_is_whole_and_in_the_middle():
    red = Image.new("RGB", (60, 20), (200, 0, 0))
    pixels = Preprocess(31, 31, resize="pad").pixels(red)
    inside = (pixels[0] == 200).nonzero()
    assert inside.min(0).values.tolist() == [10, 0]
    assert inside.max(0).values.tolist() == [19, 30]
    assert pixels[:, :10].unique().tolist() == pixels[:, 20:].unique().tolist() == [128]


def test_very_long_pictures_are_padded_to_a_line():
    pixels = Preprocess(23, 29, resize="pad").pixels(Image.new("L", (50_000, 1)))
    assert (pixels == 0).sum() == 3 * 29
    assert Preprocess(23, 29, resize="squash").pixels(noise(50_000, 1)).shape == (3, 23, 29)


@pytest.mark.parametrize("crop", [1.0, 0.8])
@pytest.mark.parametrize("picture", [(61, 67), (31, 97), (97, 31), (5, 3)])
def test_a_border_of_another_colour_is_that_of_timm(picture, crop):
    from timm.data import create_transform

    oracle = create_transform(
        (3, 29, 29), crop_pct=crop, crop_mode="border", interpolation="bilinear", mean=MEAN, std=STD
    )
    fill = tuple(round(255 * level) for level in MEAN)
    preprocess = Preprocess(29, 29, 3, MEAN, STD, crop, "bilinear", "pad", fill=fill)
    source = noise(*picture).point(lambda level: 90 + level // 4)
    apart = (preprocess(source) - oracle(source)).abs() * torch.tensor(STD).view(3, 1, 1) * 255
    assert apart.max() < 1.01
    assert preprocess.pixels(Image.new("RGB", (97, 31)))[:, 0, 0].tolist() == list(fill)


def test_new_fields_are_stored_only_where_they_are_set():
    assert not Preprocess(13, 17).to_dict().keys() & {"fill", "follows", "fast_jpeg"}
    new = Preprocess(13, 17, resize="pad", fill=[1, 2, 3], follows="transformers")
    assert new.fill == (1, 2, 3)
    stored = json.loads(json.dumps(new.to_dict()))
    assert (stored["fill"], stored["follows"]) == ([1, 2, 3], "transformers")
    assert Preprocess.from_dict(stored) == new


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"fill": (1, 2)}, "fill has 2 entries, expected 3"),
        ({"fill": (1, 2, 256)}, r"fill is \(1, 2, 256\), expected levels from 0 to 255"),
        ({"fill": (-1, 2, 6)}, "expected levels from 0 to 255"),
        ({"follows": "PIL"}, "follows is 'PIL', expected one of torchvision, timm, transformers"),
    ],
)
def test_bad_values_of_the_new_fields_are_refused(bad, words):
    with pytest.raises(VitError, match=words):
        Preprocess(13, 17, **bad)


@pytest.mark.parametrize("picture", [(61, 67), (31, 97), (97, 31), (5, 3), (29, 29)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_following_transformers_is_resizing_tensors(picture, resize):
    """torchvision on tensors, and half of an odd rest rounded down; extreme levels, unlike above."""
    from torchvision.transforms.v2 import functional

    pixels = levels(noise(*picture))
    if resize == "crop":
        whole = functional.resize(pixels, 36, InterpolationMode.BICUBIC)
        top, left = ((side - 29) // 2 for side in whole.shape[1:])
        expected = whole[:, top : top + 29, left : left + 29]
        preprocess = Preprocess(29, 29, crop=29 / 36, resize=resize, follows="transformers")
    else:
        expected = functional.resize(pixels, (29, 23), InterpolationMode.BICUBIC)
        preprocess = Preprocess(29, 23, resize=resize, follows="transformers")
    assert (preprocess.pixels(noise(*picture)).int() - expected.int()).abs().max() <= 2


def test_a_digest_of_a_model_does_not_see_fields_that_are_not_set():
    """Jobs that an earlier version began are continued."""
    from vit.weights.models import FORMER_NAMES

    printed = repr(Preprocess(13, 17))
    for name, former in FORMER_NAMES.items():
        printed = printed.replace(name, former)
    assert printed == (
        "Preprocess(height=13, width=17, channels=3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop=1.0, "
        "interpolation='bicubic')"
    )


@pytest.mark.parametrize("crop", [1.0, 0.8])
@pytest.mark.parametrize("size", [(29, 29), (24, 40), (40, 24)])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_following_timm_gives_its_pixels_of_pictures_with_sharp_edges(mode, size, crop):
    from timm.data import create_transform

    resize = {"center": "crop", "squash": "squash", "border": "pad"}[mode]
    fill = tuple(round(255 * level) for level in MEAN)
    for interpolation in ("bilinear", "bicubic", "lanczos"):
        oracle = create_transform(
            (3, *size), crop_pct=crop, crop_mode=mode, interpolation=interpolation, mean=MEAN, std=STD
        )
        preprocess = Preprocess(*size, 3, MEAN, STD, crop, interpolation, resize, fill=fill, follows="timm")
        long = (1, 301) if mode != "border" else (11, 301)  # of the first, timm's border would leave no row
        for picture in [(61, 67), (31, 97), (97, 31), (5, 3), long, size]:
            torch.testing.assert_close(preprocess(noise(*picture)), oracle(noise(*picture)))


@pytest.mark.parametrize("follows", ["timm", "transformers"])
def test_very_long_pictures_stay_cheap_whatever_is_followed(follows):
    assert Preprocess(23, 29, follows=follows).pixels(noise(1, 50_000)).shape == (3, 23, 29)
    assert Preprocess(23, 29, crop=0.5, follows=follows).pixels(noise(50_000, 1)).shape == (3, 23, 29)
