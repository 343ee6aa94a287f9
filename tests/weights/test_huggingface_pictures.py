"""Pixels and states against the image processors and models of transformers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

import vit
from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.weights.huggingface.processor import default_preprocess, preprocess_of

from ..towers import vision_tower

transformers = pytest.importorskip("transformers")

PATCH = 3
SMALL = {"hidden_size": 22, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 29}
SMALL |= {"mlp_ratio": 2, "patch_size": PATCH, "layerscale_value": 0.7}
KINDS = {
    "ViTForImageClassification": "ViTConfig",
    "ViTModel": "ViTConfig",
    "ViTForMaskedImageModeling": "ViTConfig",
    "Dinov2Model": "Dinov2Config",
    "Dinov2ForImageClassification": "Dinov2Config",
    "Dinov2WithRegistersModel": "Dinov2WithRegistersConfig",
}


def theirs_of(kind: str, **options: Any) -> Any:
    torch.manual_seed(7)
    config = getattr(transformers, KINDS[kind])(**(SMALL | {"image_size": 21} | options))
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, which begin as zeros and ones
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def pictures() -> dict[str, Image.Image]:
    coffee = Image.fromarray(data.coffee())
    clear = coffee.crop((300, 100, 433, 211)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    return {
        "coffee": coffee,
        "astronaut": Image.fromarray(data.astronaut()),
        "odd": Image.fromarray(data.astronaut()[:501, :333]),
        "grey": Image.fromarray(data.camera()),
        "transparent": clear,
        "long": coffee.crop((0, 100, 600, 131)),
        "high": coffee.crop((200, 0, 217, 400)),
        "smaller": coffee.crop((200, 100, 217, 113)),
    }


def white(picture: Image.Image) -> Image.Image:
    """What vit and `do_convert_rgb` make of every picture: RGB, transparency over white."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def levels_apart(ours: Preprocess, theirs: Any) -> float:
    """The largest difference of a pixel, over all pictures, in levels of 255."""
    largest = 0.0
    for picture in pictures().values():
        expected = theirs(white(picture), return_tensors="pt")["pixel_values"][0].float()
        found = ours(picture)
        assert found.shape == expected.shape
        levels = torch.tensor(ours.std).view(-1, 1, 1) * 255
        largest = max(largest, ((found - expected) * levels).abs().max().item())
    return largest


FOLLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT as it is": ("ViT", {}),
    "size as a number": ("ViT", {"size": 39}),
    "size as a list": ("ViT", {"size": [39, 51]}),
    "height and width": ("ViT", {"size": {"height": 51, "width": 39}}),
    "squash and crop": ("ViT", {"size": 64, "crop_size": 57, "do_center_crop": True}),
    "crop_size without do_center_crop": ("ViT", {"size": 63, "crop_size": {"height": 57, "width": 57}}),
    "null": ("ViT", {"size": 39, "crop_size": None, "do_center_crop": None, "do_convert_rgb": None}),
    "no do_normalize, null": ("ViT", {"size": 39, "do_normalize": None, "image_mean": None}),
    "bicubic": ("ViT", {"size": 39, "resample": 3}),
    "lanczos": ("ViT", {"size": 39, "resample": 1}),
    "no do_normalize": ("ViT", {"size": 39, "do_normalize": False}),
    "no do_rescale": ("ViT", {"size": 39, "do_rescale": False, "image_mean": [99.0, 110.0, 120.0]}),
    "neither": ("ViT", {"size": 39, "do_rescale": False, "do_normalize": False}),
    "rescale_factor": ("ViT", {"size": 39, "rescale_factor": 1 / 127.5, "image_mean": [1.0, 0.9, 1.1]}),
    "mean and deviation": ("ViT", {"size": 39, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]}),
    "do_convert_rgb": ("ViT", {"size": 39, "do_convert_rgb": True}),
    "DeiT as it is": ("DeiT", {"image_mean": [0.485, 0.456, 0.406]}),
    "DeiT, a list": ("DeiT", {"size": [64, 72], "crop_size": [56, 63]}),
    "Bit as DINOv2 has it": (
        "Bit", {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
    ),
    "Bit, numbers": ("Bit", {"size": 64, "crop_size": 57}),
    "Bit, an odd rest": ("Bit", {"size": {"shortest_edge": 64}, "crop_size": 51}),
    "Bit, no crop of a square": ("Bit", {"size": {"height": 39, "width": 39}, "do_center_crop": False}),
    "Bit, null for the crop": ("Bit", {"size": {"height": 39, "width": 39}, "do_center_crop": None}),
    "CLIP": ("CLIP", {"size": {"shortest_edge": 57}, "crop_size": {"height": 57, "width": 57}}),
    "Siglip": ("Siglip", {"size": {"height": 57, "width": 57}}),
    "CLIP as it is": ("CLIP", {}),
    "Siglip as it is": ("Siglip", {}),
    "BEiT as it is": ("Beit", {}),
    "BEiT as its authors have it": (
        "Beit",
        {"size": 64, "crop_size": 56, "do_center_crop": True, "resample": 2, "do_reduce_labels": True},
    ),
    "DINOv3 as it is": ("DINOv3ViT", {}),
    "DINOv3, a crop": ("DINOv3ViT", {"size": [64, 72], "crop_size": [56, 63], "do_center_crop": True}),
    "DINOv3, neither": ("DINOv3ViT", {"size": 39, "do_rescale": False, "do_normalize": False, "resample": 3}),
    "ConvNext": ("ConvNext", {"size": {"shortest_edge": 57}, "crop_pct": 0.875}),
    "ConvNext, large": ("ConvNext", {"size": {"shortest_edge": 384}}),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLLOWED)
def test_pixels_are_those_of_the_processor(case: str, tmp_path: Path) -> None:
    """To one level, and twice that where the resampling of torch rounds its own weights to 16 bits."""
    kind, said = FOLLOWED[case]
    said = {"image_processor_type": f"{kind}ImageProcessor"} | said
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert theirs.backend == "torchvision"
    # A patch of one pixel: any size is tiled.
    ours = preprocess_of("vit", vision_tower(0, (3, 3), patch_size=(1, 1), width=12, heads=2, depth=1), said)
    unit = 2.01 if ours.interpolation != "bilinear" else 1.01
    assert levels_apart(ours, theirs) < unit
    assert Preprocess.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours


@pytest.mark.parametrize(
    ("kind", "size"), [("ViT", {"height": 39, "width": 39}), ("Bit", {"shortest_edge": 64})]
)
def test_pixels_are_those_of_the_processor_on_pillow_images(kind: str, size: dict[str, int]) -> None:
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    said = {"size": size, "crop_size": {"height": 39, "width": 39}, "resample": 2}
    theirs = {"ViT": ViTImageProcessorPil, "Bit": BitImageProcessorPil}[kind](**said)
    model = vision_tower(0, (3, 3), patch_size=(1, 1), width=12, heads=2, depth=1)
    ours = preprocess_of("vit", model, said | {"image_processor_type": f"{kind}ImageProcessorFast"})
    assert levels_apart(ours, theirs) < 1.01


@pytest.mark.parametrize("named", ["ViTFeatureExtractor", "ViTImageProcessorFast", "ViTImageProcessorPil"])
def test_old_and_other_names_of_a_processor(named: str) -> None:
    model = vision_tower(0, (3, 3), patch_size=(1, 1), width=12, heads=2, depth=1)
    key = "feature_extractor_type" if "Feature" in named else "image_processor_type"
    assert preprocess_of("vit", model, {key: named, "size": 15}).resize == "squash"
    assert preprocess_of("vit", model, {"size": 15}) == preprocess_of("vit", model, {key: named, "size": 15})


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "do_resize is False": ("ViT", {"do_resize": False}),
    "resample is 3 and DINOv3ViTImageProcessor rescales before": ("DINOv3ViT", {"resample": 3}),
    "use_square_size is True": ("CLIP", {"use_square_size": True}),
    "resample is 0": ("ViT", {"resample": 0}),
    "resample is 4": ("ViT", {"resample": 4}),
    "resample is 5": ("ViT", {"resample": 5}),
    "do_pad is True": ("ViT", {"do_pad": True}),
    "do_flip_channel_order is True": ("ViT", {"do_flip_channel_order": True}),
    "border of zeros": ("DeiT", {"size": 39, "crop_size": 51}),
    "different fractions": ("DeiT", {"size": [60, 60], "crop_size": [30, 57]}),
    "crop_size is None": ("ViT", {"do_center_crop": True}),
    "resample is None": ("ViT", {"resample": None}),
    "size is None": ("ViT", {"size": None}),
    "size is 'big'": ("ViT", {"size": "big"}),
    r"size is \('39', '39'\)": ("ViT", {"size": {"height": "39", "width": "39"}}),
    "shortest_edge is 'big'": ("Bit", {"size": {"shortest_edge": "big"}}),
    r"image_mean is \['a', 0, 0\]": ("ViT", {"size": 39, "image_mean": ["a", 0, 0]}),
    "rescale_factor is None": ("ViT", {"size": 39, "rescale_factor": None}),
    "image_std is None": ("ViT", {"size": 39, "image_std": None}),
    "several sizes": ("Bit", {"do_center_crop": False}),
    "expected height and width, or shortest_edge": ("Bit", {"size": {"longest_edge": 60}}),
    "shortest_edge': 30, 'longest_edge": ("Bit", {"size": {"shortest_edge": 30, "longest_edge": 60}}),
    r"size is \[1, 2, 3\]": ("ViT", {"size": [1, 2, 3]}),
    "its processor is ImageGPTImageProcessor": ("ImageGPT", {}),
    r"image_mean is \[0.5, 0.5\], expected 3": ("ViT", {"size": 39, "image_mean": [0.5, 0.5]}),
    "multiples of the patch, 3 x 3": ("ViT", {"size": 40}),
    "expected numbers above 0": ("ViT", {"size": 39, "image_std": [0.5, 0.0, 0.5]}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(what: str) -> None:
    kind, said = REFUSED[what]
    model = vision_tower(0, (21, 21), patch_size=(PATCH, PATCH), width=12, heads=2, depth=1)
    with pytest.raises(VitError, match=what):
        preprocess_of("vit", model, {"image_processor_type": f"{kind}ImageProcessor"} | said)


def test_a_grey_model_takes_grey_settings() -> None:
    model = vision_tower(0, (21, 21), channels=1, patch_size=(PATCH, PATCH), width=12, heads=2, depth=1)
    said = {"size": 21, "image_mean": 0.25, "image_std": [0.5]}
    assert preprocess_of("vit", model, said).mean == (0.25,)
    with pytest.raises(VitError, match=r"image_mean is \(0.5, 0.5, 0.5\), expected 1"):
        preprocess_of("vit", model, {"size": 21})
    with pytest.raises(VitError, match="do_convert_rgb is True, and the model has 1 channel"):
        preprocess_of("vit", model, said | {"do_convert_rgb": True})
    assert default_preprocess("dinov2", model).channels == 1


def test_a_model_alone_has_the_usual_preprocessing_of_its_family() -> None:
    ours = vit.from_huggingface(theirs_of("ViTForImageClassification", num_labels=5))
    assert (
        levels_apart(ours.preprocess, transformers.ViTImageProcessor(size={"height": 21, "width": 21})) < 1.01
    )
    assert ours.labels == [f"LABEL_{index}" for index in range(5)]
    ours = vit.from_huggingface(theirs_of("Dinov2Model"))
    theirs = transformers.BitImageProcessor(
        size={"shortest_edge": 24},
        crop_size={"height": 21, "width": 21},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    assert levels_apart(ours.preprocess, theirs) < 2.01


def test_a_processor_beside_the_model_or_given_is_followed(tmp_path: Path) -> None:
    theirs = theirs_of("ViTForImageClassification", num_labels=5)
    processor = transformers.ViTImageProcessor(size={"height": 27, "width": 27}, image_mean=[0.1, 0.2, 0.3])
    assert vit.from_huggingface(theirs, processor).preprocess.mean == (0.1, 0.2, 0.3)
    theirs.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# A model\n")
    loaded = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    ours = vit.from_huggingface(loaded)
    assert ours.preprocess == vit.load_model(f"hf:{tmp_path}").preprocess
    assert (ours.preprocess.height, ours.preprocess.mean) == (27, (0.1, 0.2, 0.3))
    assert ours.source == {"word": f"hf:{tmp_path}", "license": "apache-2.0"}
    with pytest.raises(VitError, match="processor is a int, expected an image processor"):
        vit.from_huggingface(theirs, 3)


def test_a_folder_without_a_processor_has_the_usual_one_and_a_nested_one_counts(tmp_path: Path) -> None:
    theirs = theirs_of("ViTModel")
    theirs.save_pretrained(tmp_path)
    assert vit.load_model(f"hf:{tmp_path}").preprocess == vit.from_huggingface(theirs).preprocess
    (tmp_path / "preprocessor_config.json").write_text("[3]")
    with pytest.raises(VitError, match=r"preprocessor_config.json is \[3\], expected a JSON object"):
        vit.load_model(f"hf:{tmp_path}")
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 33}}))
    assert vit.load_model(f"hf:{tmp_path}").preprocess.height == 33


def states(theirs: nn.Module, images: Tensor) -> Tensor:
    base = getattr(theirs, theirs.base_model_prefix, theirs)
    options = {"interpolate_pos_encoding": True} if base.config.model_type == "vit" else {}
    return base(images, **options).last_hidden_state


@pytest.mark.parametrize("size", [(15, 27), (39, 33), (9, 12), (21, 21)])
@pytest.mark.parametrize("kind", ["ViTModel", "Dinov2Model", "Dinov2WithRegistersModel"])
def test_states_are_theirs_at_any_size(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    theirs = theirs_of(kind)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = states(theirs, images)
        ours = vit.from_huggingface(theirs)
        assert (ours.encode(images) - expected).abs().max() < 1e-5
        ours.positions.antialias = not ours.positions.antialias
        fitting = size == (21, 21)
        assert ((ours.encode(images) - expected).abs().max() < 1e-5) == fitting, "the test can tell"


def test_the_pooler_of_a_vit_is_read() -> None:
    theirs = theirs_of("ViTModel")
    ours = vit.from_huggingface(theirs)
    images = torch.randn(2, 3, 21, 21)
    with torch.no_grad():
        expected = theirs(images).pooler_output
        assert (ours.features(images) - expected).abs().max() < 1e-5
        assert (ours(images) - expected).abs().max() < 1e-5
        assert (ours.read_token(ours.encode(images)[:, 0]) - expected).abs().max() < 1e-5
        without = transformers.ViTModel(theirs.config, add_pooling_layer=False)
        assert vit.from_huggingface(without).pooler is None
    with pytest.raises(VitError, match="pooler_output_size is 13, expected the model's 22"):
        vit.from_huggingface(theirs_of("ViTModel", pooler_output_size=13))
    with pytest.raises(VitError, match="pooler_act is gelu, expected one of tanh, relu"):
        vit.from_huggingface(theirs_of("ViTModel", pooler_act="gelu"))


def test_numpy_targets() -> None:
    ours = vit.from_huggingface(theirs_of("ViTForImageClassification", num_labels=5))
    images = torch.randn(2, 3, 21, 21)
    maps = [
        vit.attend(ours, images, method="legrad", target=target)
        for target in (3, np.int64(3), np.uint8(3), np.array([3, 3]), torch.tensor(3))
    ]
    assert all(torch.equal(found, maps[0]) for found in maps)
    for wrong in (np.int64(5), np.bool_(True), 3.0):
        with pytest.raises(VitError, match="expected a label, or an index from 0 to 4"):
            vit.attend(ours, images, method="legrad", target=wrong)
