"""Image models as folders that transformers loads: the same results, and the same tensors read again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vit
from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.export.safetensors import export_safetensors
from vit.export.safetensors.checks import same_tensors

from ..towers import vision_tower

transformers = pytest.importorskip("transformers")

from ..weights.vision_models import SYSTEMS, outputs, theirs_of  # noqa: E402

# Positions of the first tokens are a part of the tokens; a mask token and the norm that a classifier of CLIP
# does not read are written new; BEiT's shared table is added to those of the layers.
CHANGED = (
    "cls_token",
    "class_embedding",
    "distillation_token",
    "position_embedding",
    "mask_token",
    "classifier",
)
CHANGED += ("post_layernorm", "relative_position_bias")
# Families that compute the same have one spelling: that of the first.
SAME_AS = {"MSN classifier": "ViT", "Data2Vec": "Beit", "Data2Vec classifier": "Beit"}
SAME_AS |= {"SigLIP without a head": "IJepa", "SigLIP classifier": "IJepa", "MAE": "ViT", "MSN": "ViT"}


def loaded(folder: Path) -> Any:
    """The class of transformers that the config names."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, said = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert {key for key in said["missing_keys"] if "pooler" not in key} == set()
    assert set(said["unexpected_keys"]) == set()
    return model.eval()


# One of each way in which tensors are written; the others are slow tests.
USUAL = (
    "ViT classifier",
    "DeiT with a teacher",
    "I-JEPA classifier",
    "DINOv2 classifier, registers",
    "DINOv3, gated",
)
USUAL += ("DINOv3, gated", "BEiT", "BEiT, everything", "CLIP, projection", "SigLIP")


def systems() -> list[Any]:
    return [pytest.param(system, marks=[] if system in USUAL else [pytest.mark.slow]) for system in SYSTEMS]


@pytest.mark.parametrize("system", systems())
def test_a_model_of_transformers_comes_back(system: str, tmp_path: Path) -> None:
    theirs, folder = theirs_of(system), tmp_path / "out"
    ours = vit.from_huggingface(theirs)
    export_safetensors(ours, folder, library="transformers")
    again = loaded(folder)
    assert type(again).__name__.startswith(SAME_AS.get(system, type(theirs).__name__))
    for count in (1, 2, 7):
        images = torch.randn(count, 3, *ours.image_size)
        (states, result, _), (found, reread, _) = outputs(theirs, images), outputs(again, images)
        torch.testing.assert_close(found, states, rtol=1e-5, atol=1e-5)
        if result is not None and reread is not None and reread.shape == result.shape and ours.labels:
            torch.testing.assert_close(reread, result, rtol=1e-5, atol=1e-5)
    back = vit.load_model(f"hf:{folder}")
    assert same_tensors(ours, back) == []
    assert back.labels == ours.labels
    levels = np.random.default_rng(1).integers(0, 255, (40, 31, 3), dtype=np.uint8)
    assert torch.equal(back.preprocess(levels), ours.preprocess(levels))
    if system not in SAME_AS:
        compare_files(theirs, folder, tmp_path / "theirs", everything=system == "BEiT, everything")


def compare_files(theirs: Any, folder: Path, beside: Path, *, everything: bool) -> None:
    """The file has the names and, where nothing was joined, the tensors of the file that theirs writes."""
    theirs.save_pretrained(beside)
    wanted, found = (
        {name.removeprefix("vision_model."): tensor for name, tensor in load_file(file).items()}
        for file in (beside / "model.safetensors", folder / "model.safetensors")
    )
    if not everything:  # which has two kinds of tables, and ours their sum
        assert {name for name in wanted.keys() ^ found.keys() if not name.startswith("head.")} == set()
    for name in wanted.keys() & found.keys():
        if not any(part in name for part in CHANGED):
            assert torch.equal(found[name], wanted[name]), name


def classifier(size: tuple[int, int] = (12, 12), **arguments: Any) -> Any:
    """Like a model of `vit train`: plain patches, no class token, the mean of the patches."""
    sizes = {"width": 24, "heads": 3, "depth": 2, "patch_size": (4, 4), "class_token": False, "pool": "mean"}
    model = vision_tower(3, size, **(sizes | arguments)).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.labels = ["cat", "dog", "猫"]
    model.preprocess = Preprocess(12, 12, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    return model


PREPROCESSES = {
    "squash": Preprocess(12, 12, resize="squash", interpolation="bilinear"),
    "squash, then crop": Preprocess(12, 12, resize="squash", crop=0.75),
    "crop": Preprocess(12, 12, crop=0.875, interpolation="lanczos"),
}


@pytest.mark.parametrize("kind", PREPROCESSES)
def test_the_automatic_classes_read_it(kind: str, tmp_path: Path) -> None:
    model = classifier()
    model.preprocess = PREPROCESSES[kind]
    export_safetensors(model, tmp_path, library="transformers")
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    levels = np.random.default_rng(0).integers(0, 255, (40, 31, 3), dtype=np.uint8)
    pixels = processor(Image.fromarray(levels), return_tensors="pt")["pixel_values"]
    expected = model.preprocess(levels)[None]
    assert pixels.shape == expected.shape
    assert (
        float((pixels - expected).abs().max()) <= 2.1 / 255 / 0.5
    )  # two levels: vit.data.preprocess, `follows`
    with torch.no_grad():
        torch.testing.assert_close(theirs(pixels).logits, model(pixels), rtol=1e-5, atol=1e-5)
    assert theirs.config.id2label == {0: "cat", 1: "dog", 2: "猫"}


def test_several_labels(tmp_path: Path) -> None:
    model = classifier()
    model.thresholds = [0.5, 0.5, 0.5]
    export_safetensors(model, tmp_path, library="transformers")
    assert transformers.AutoConfig.from_pretrained(tmp_path).problem_type == "multi_label_classification"
    assert vit.load_model(f"hf:{tmp_path}").thresholds == [0.5, 0.5, 0.5]


def test_timm_and_transformers_have_the_same_dinov3(tmp_path: Path) -> None:
    """What one library gave the other can have."""
    import timm

    from ..weights.timm_models import randomise

    sizes = {"depth": 2, "embed_dim": 24, "num_heads": 3, "img_size": 32, "num_classes": 0}
    theirs = timm.create_model("vit_small_patch16_dinov3", global_pool="token", **sizes).eval()
    randomise(theirs)
    export_safetensors(vit.from_timm(theirs), tmp_path / "out", library="transformers")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = loaded(tmp_path / "out")(images).last_hidden_state
        torch.testing.assert_close(states, theirs.forward_features(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_head_of_our_own_on_dinov2(pool: str, tmp_path: Path) -> None:
    """transformers' classifier reads class token and mean: the weights of the other one are zeros."""
    model = classifier(class_token=True, pool=pool, layer_scale=1.0, mlp_ratio=2.0, positions_antialias=False)
    export_safetensors(model, tmp_path / "out", library="transformers")
    theirs, images = loaded(tmp_path / "out"), torch.randn(3, 3, 12, 12)
    assert type(theirs).__name__ == "Dinov2ForImageClassification"
    with torch.no_grad():
        torch.testing.assert_close(theirs(images).logits, model(images), rtol=1e-5, atol=1e-5)


def test_without_transformers_vit_reads_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vit.export.safetensors.huggingface import folder

    def unused(*given: object) -> float:
        raise AssertionError

    monkeypatch.setattr(folder.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(folder, "compare_with_transformers", unused)
    export_safetensors(classifier(), tmp_path / "out", library="transformers")
    monkeypatch.setattr(folder, "save", lambda tensors, said: folder_of_zeros(tensors, said))
    with pytest.raises(VitError, match="the folder, read again, differs by"):
        export_safetensors(classifier(), tmp_path / "wrong", library="transformers")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def folder_of_zeros(tensors: dict[str, torch.Tensor], said: dict[str, str]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor * 0 for name, tensor in tensors.items()}, said)


def bordered() -> Any:
    model = classifier()
    model.preprocess = Preprocess(12, 12, resize="pad")
    return model


def wide_crop() -> Any:
    model = classifier((12, 16))
    model.preprocess = Preprocess(12, 16, resize="crop")
    return model


def of_boxes() -> Any:
    model = classifier()
    model.preprocess = Preprocess(12, 12, interpolation="box")
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "convolutions": (lambda: vit.load_model("cifar10"), r"tokenizer is 'conv', and there it is 'patch'"),
    "attention pool": (lambda: classifier(pool="attention"), r"pool"),
    "class token and mean": (lambda: classifier(class_token=True), r"class_token is True|pool is 'mean'"),
    "norms after branches": (lambda: classifier(norm="branch"), r"transformers has no counterpart"),
    "width of the MLPs": (
        lambda: classifier(class_token=True, pool="cls_mean", layer_scale=1.0, mlp_ratio=29 / 24),
        r"the hidden width of the MLPs is 29, which no whole mlp_ratio gives for 24",
    ),
    "border": (bordered, r"counterpart of preprocess: its resize is pad"),
    "crop of no square": (wide_crop, r"its resize is crop to 12 x 16 pixels, which is no square"),
    "box": (of_boxes, r"its interpolation is box, expected one of"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(VitError, match=message) as caught:
        export_safetensors(make(), tmp_path / "out", library="transformers")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
