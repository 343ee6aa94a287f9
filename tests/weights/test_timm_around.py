"""Preprocessing and label names of timm's models: pixels equal timm's own transform, names its own tables."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config
from torch import nn

import vit
from vit.errors import VitError

from .timm_models import tiny

SIZES = [(1, 1), (2, 3), (37, 53), (40, 24), (5, 331), (613, 7), (479, 641)]


def picture(height: int, width: int, *, grey: bool = False) -> Image.Image:
    """Noise: a pixel of another place shows."""
    rng = np.random.default_rng(height * width)
    return Image.fromarray(rng.integers(0, 256, (height, width) if grey else (height, width, 3), np.uint8))


def configured(size: tuple[int, int] = (24, 40), **settings: object) -> Any:
    """A model whose pretrained config has these settings."""
    usual = {"input_size": (3, *size), "mean": (0.48, 0.45, 0.41), "std": (0.27, 0.26, 0.28)}
    return tiny(img_size=size, depth=1, pretrained_cfg_overlay=usual | settings)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_pixels_equal_timms(mode: str, interpolation: str) -> None:
    """Within one level of 8 bits, to squares and rectangles, from one pixel to very long pictures."""
    for crop_pct, size in product((1.0, 0.9, None), [(32, 32), (24, 40), (40, 24)]):
        model = configured(size, crop_mode=mode, interpolation=interpolation, crop_pct=crop_pct)
        transform = create_transform(**resolve_model_data_config(model), is_training=False)
        preprocess = vit.from_timm(model).preprocess
        std = torch.tensor(preprocess.std).view(-1, 1, 1)
        for (height, width), grey in product(SIZES, (False, True)):
            if mode == "border" and min(height, width) * 40 < max(height, width):
                continue  # timm makes it less than a pixel high, and fails
            image = picture(height, width, grey=grey)
            apart = (preprocess(image) - transform(image.convert("RGB"))) * std * 255
            assert apart.abs().max() <= 1.01, (crop_pct, size, height, width)


def test_the_border_has_timms_color() -> None:
    ours = vit.from_timm(configured((32, 32), crop_mode="border", crop_pct=1.0)).preprocess
    assert ours.fill == (122, 115, 105)
    assert ours.pixels(Image.new("RGB", (40, 8)))[:, 0, 0].tolist() == [122, 115, 105]


def test_an_imported_model_reads_a_picture() -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    ours = vit.from_timm(model)
    image = picture(300, 400)
    torch.testing.assert_close(
        ours.preprocess(image),
        create_transform(**resolve_model_data_config(model))(image),
        atol=0.016,
        rtol=0,
    )
    assert ours.preprocess.to_dict() == {
        "height": 224,
        "width": 224,
        "channels": 3,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "crop": 0.9,
        "interpolation": "bicubic",
        "resize": "crop",
        "follows": "timm",
    }


def test_a_model_that_timm_did_not_make_has_its_defaults() -> None:
    model = timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=6, depth=1, num_heads=2)
    ours = vit.from_timm(model)
    assert (ours.preprocess.height, ours.preprocess.crop, ours.labels) == (32, 0.875, [])
    assert ours.preprocess.mean == timm.data.IMAGENET_DEFAULT_MEAN


def test_a_free_picture_size_is_the_recommended_one() -> None:
    model = tiny(
        dynamic_img_size=True, pretrained_cfg_overlay={"fixed_input_size": False, "input_size": (3, 40, 56)}
    )
    assert (vit.from_timm(model).preprocess.height, vit.from_timm(model).preprocess.width) == (40, 56)


def test_a_model_of_grey_pictures_has_the_mean_of_the_channels() -> None:
    overlay = {"mean": (0.5, 0.25, 0.75), "std": (0.25, 0.5, 0.75)}
    ours = vit.from_timm(tiny(in_chans=1, pretrained_cfg_overlay=overlay))
    assert (ours.preprocess.channels, ours.preprocess.mean, ours.preprocess.std) == (1, (0.5,), (0.5,))
    assert ours.preprocess(picture(50, 60)).shape == (1, 24, 40)


def test_a_model_of_other_channels_reads_no_pictures() -> None:
    assert vit.from_timm(tiny(in_chans=5)).preprocess is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"crop_mode": "centre"},
            "pretrained_cfg has crop_mode 'centre', expected one of center, squash, border",
        ),
        ({"interpolation": "hamming"}, "in its pretrained_cfg, interpolation is 'hamming', expected one of"),
        ({"crop_pct": 1.5}, "in its pretrained_cfg, crop is 1.5, expected"),
        ({"std": (0.5, 0.0, 0.5)}, "in its pretrained_cfg, std is"),
    ],
)
def test_what_cannot_be_followed_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(VitError, match=message):
        vit.from_timm(configured(**settings))


@pytest.mark.parametrize(
    ("classes", "subset"),
    [
        (1000, "imagenet-1k"),
        (11221, "imagenet-21k-miil"),
        (11821, "imagenet-12k"),
        (21843, "imagenet-21k-goog"),
    ],
)
def test_labels_are_those_of_the_pretrained_head(classes: int, subset: str) -> None:
    model = tiny(depth=1, num_classes=classes, pretrained_cfg_overlay={"num_classes": classes})
    labels = vit.from_timm(model).labels
    assert labels == ImageNetInfo(subset).label_descriptions()
    assert len(labels) == classes


@pytest.mark.parametrize(
    ("names", "descriptions", "expected"),
    [
        (["n1", "n2", "n3"], None, ["n1", "n2", "n3"]),
        (("n1", "n2", "n3"), {"n1": "cat", "n3": "dog"}, ["cat", "n2", "dog"]),
        ({"0": "cat", "2": "dog"}, None, ["cat", "1", "dog"]),
    ],
)
def test_labels_of_the_config(names: Any, descriptions: Any, expected: list[str]) -> None:
    config = {"num_classes": 3, "label_names": names, "label_descriptions": descriptions}
    assert vit.from_timm(tiny(num_classes=3, pretrained_cfg_overlay=config)).labels == expected


def test_labels_that_are_not_as_many_as_classes_are_refused() -> None:
    config = {"num_classes": 3, "label_names": ["cat", "dog"]}
    with pytest.raises(VitError, match="has 2 label_names, expected 3: one per class"):
        vit.from_timm(tiny(num_classes=3, pretrained_cfg_overlay=config))


@pytest.mark.parametrize("classes", [0, 10, 11821])
def test_a_new_head_has_no_labels(classes: int) -> None:
    model = tiny(depth=1)
    model.reset_classifier(classes)
    assert vit.from_timm(model).labels == []
    model = tiny(depth=1)
    model.head = nn.Sequential(nn.Dropout(), nn.Linear(39, 1000))
    assert vit.from_timm(model).labels == []


def test_the_projection_of_a_clip_tower_has_no_labels() -> None:
    model = timm.create_model("vit_base_patch32_clip_224.openai", depth=1).eval()
    assert model.num_classes == 512
    ours, pixels = vit.from_timm(model), torch.randn(1, 3, 224, 224)
    assert ours.labels == []
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), model(pixels), atol=1e-5, rtol=0)
