"""Folders of image models, their processors, and attention in them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from skimage import data

import vit
from vit.data.preprocess import Preprocess
from vit.weights.huggingface.processor import OF_FAMILY, default_preprocess

from ..towers import vision_tower

transformers = pytest.importorskip("transformers")
from .test_huggingface_vision_families import both_halves  # noqa: E402
from .vision_models import SYSTEMS, outputs, theirs_of  # noqa: E402

PICTURE = Image.fromarray(data.astronaut())
# A processor as its class has it, at a small size.
SQUARE = {"size": {"height": 15, "width": 15}}
EDGE = {"size": {"shortest_edge": 18}, "crop_size": {"height": 15, "width": 15}}
FOLDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DINOv3": ("DINOv3ViTImageProcessor", SQUARE),
    "DINOv3, gated": ("DINOv3ViTImageProcessor", SQUARE),
    "CLIP": ("CLIPImageProcessor", EDGE),
    "CLIP, projection": ("CLIPImageProcessor", EDGE),
    "CLIP classifier": ("CLIPImageProcessor", EDGE),
    "SigLIP": ("SiglipImageProcessor", SQUARE),
    "SigLIP, a border": ("SiglipImageProcessor", {"size": {"height": 17, "width": 17}}),
    "SigLIP classifier": ("SiglipImageProcessor", SQUARE),
    "BEiT, everything": ("BeitImageProcessor", SQUARE),
    "BEiT classifier": ("BeitImageProcessor", SQUARE),
    "Data2Vec classifier": ("BeitImageProcessor", SQUARE),
    "DeiT": ("DeiTImageProcessor", {"size": {"height": 18, "width": 18}, "crop_size": EDGE["crop_size"]}),
    "DeiT with a teacher": ("DeiTImageProcessor", {**SQUARE, "do_center_crop": False}),
    "MAE": ("ViTImageProcessor", SQUARE),
    "MSN classifier": ("ViTImageProcessor", SQUARE),
    "I-JEPA classifier": ("ViTImageProcessor", SQUARE),
    "DINOv2, SwiGLU": ("BitImageProcessor", EDGE),
    "DINOv2 classifier, registers": ("BitImageProcessor", EDGE),
}


@pytest.mark.parametrize("system", FOLDERS)
def test_a_folder_gives_their_pixels_states_and_logits(system: str, tmp_path: Path) -> None:
    theirs = theirs_of(system)
    kind, settings = FOLDERS[system]
    processor = getattr(transformers, kind)(**settings)
    theirs.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = vit.load_model(f"hf:{tmp_path}")
    pixels = processor(PICTURE, return_tensors="pt")["pixel_values"]
    found = ours.preprocess(PICTURE)[None]
    levels = torch.tensor(ours.preprocess.std).view(-1, 1, 1) * 255
    unit = 1.01 if ours.preprocess.interpolation == "bilinear" else 2.01
    assert ((found - pixels) * levels).abs().max() < unit
    states, pooled, _ = outputs(theirs, pixels)
    with torch.no_grad():
        assert (ours.encode(pixels) - states).abs().max() < 1e-5
        assert pooled is None or (ours(pixels) - pooled).abs().max() < 1e-5
    copied = vit.from_huggingface(type(theirs).from_pretrained(tmp_path))
    assert copied.preprocess == ours.preprocess
    assert copied.labels == ours.labels


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_folder_of_images_and_texts_is_read_as_images(family: str, tmp_path: Path) -> None:
    theirs = both_halves(family)
    theirs.save_pretrained(tmp_path)
    settings = {"image_processor_type": OF_FAMILY[family], **(EDGE if family == "clip" else SQUARE)}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    ours = vit.load_model(f"hf:{tmp_path}")
    assert (ours.reads, ours.preprocess.height) == ("image", 15)
    images = ours.preprocess(PICTURE)[None]
    with torch.no_grad():
        expected = theirs.get_image_features(images).pooler_output
        assert (ours(images) - expected).abs().max() < 1e-5


def test_a_bundle_of_an_imported_model_is_the_same_model(tmp_path: Path) -> None:
    images = torch.randn(2, 3, 15, 21)
    for system in SYSTEMS:
        ours = vit.from_huggingface(theirs_of(system))
        ours.save(tmp_path / system)
        with torch.no_grad():
            assert torch.equal(vit.load_model(tmp_path / system)(images), ours(images)), system


# What a family's processor makes of a picture at a model's size, with what its authors normalise by.
ALONE: dict[str, dict[str, Any]] = {
    "vit": {},
    "vit_mae": {"imagenet": True},
    "deit": {"imagenet": True, "size": {"height": 64, "width": 64}, "do_center_crop": True},
    "dinov2": {"imagenet": True, "size": {"shortest_edge": 64}},
    "dinov3_vit": {},
    "beit": {},
    "clip": {"size": {"shortest_edge": 56}},
    "siglip": {},
}


@pytest.mark.parametrize("family", ALONE)
def test_a_model_without_a_processor_has_the_usual_one_of_its_family(family: str) -> None:
    model = vision_tower(0, (56, 56), patch_size=(7, 7), width=12, heads=2, depth=1)
    settings = {"size": {"height": 56, "width": 56}, "crop_size": {"height": 56, "width": 56}}
    settings |= {name: value for name, value in ALONE[family].items() if name != "imagenet"}
    if ALONE[family].get("imagenet"):
        settings |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    theirs = getattr(transformers, OF_FAMILY[family])(**settings)
    ours = default_preprocess(family, model)
    expected = theirs(PICTURE, return_tensors="pt")["pixel_values"][0]
    levels = torch.tensor(ours.std).view(-1, 1, 1) * 255
    assert ((ours(PICTURE) - expected) * levels).abs().max() < 2.01
    assert Preprocess.from_dict(ours.to_dict()) == ours


def test_a_processor_of_both_halves_is_read_for_its_images() -> None:
    class Both:
        image_processor = transformers.CLIPImageProcessor(**EDGE)

    assert vit.from_huggingface(theirs_of("CLIP"), Both()).preprocess.height == 15


@pytest.mark.parametrize("system", ["DINOv3", "BEiT, everything", "BEiT", "CLIP", "DeiT"])
def test_recorded_attention_is_theirs(system: str) -> None:
    theirs = theirs_of(system)
    theirs.set_attn_implementation("eager")
    ours = vit.from_huggingface(theirs, False)
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad(), vit.record_attention(ours) as tape:
        ours(images)
    _, _, expected = outputs(theirs, images, attentions=True)
    weights = tape.weights()
    assert len(weights) == len(expected) == 3
    for layer, (found, known) in enumerate(zip(weights, expected, strict=True)):
        assert (found - known).abs().max() < 1e-5, layer
    assert (weights[0] - weights[1]).abs().max() > 0.01, "the test can tell layers apart"


@pytest.mark.parametrize("query", ["cls", (1, 2)])
@pytest.mark.parametrize("system", SYSTEMS)
def test_relevance_runs(system: str, query: Any) -> None:
    ours = vit.from_huggingface(theirs_of(system), False)
    images = torch.randn(2, 3, 15, 21)
    if not ours.labels:  # relevance explains a class
        ours.head = torch.nn.Linear(ours.features(images).shape[1], 5)
    maps = vit.attend(ours, images, method="relevance", query=query, target=2)
    assert maps.shape == (2, 5, 7)
    assert maps.isfinite().all()
    assert (maps[0] - maps[1]).abs().max() > 0
