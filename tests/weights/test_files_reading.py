"""Files of weights: where in a file they are, and what is read with them."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import vit
from vit.errors import VitError
from vit.weights.files.names import find_places, renamed

from .timm_models import randomised
from .weight_files import LIKE, SMALL, mae, moco, npz, other, saved, small, timm_run

IMAGENET_MEAN = (0.485, 0.456, 0.406)


def assert_same(ours: Any, theirs: Any, size: int = 48) -> None:
    pictures = torch.randn(2, ours.channels, size, size)
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), theirs(pictures), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "module",
        "_orig_mod",
        "module._orig_mod",
        "backbone",
        "teacher.backbone",
        "student.module.backbone",
        "state_dict.module.base_encoder",
        "state_dict.module.momentum_encoder",
        "encoder",
        "net",
        "visual",
        "visual.trunk",
        "state_dict.model.net.module.encoder",
        "whatever.came.before",
    ],
)
def test_wrappers_and_prefixes_are_found(place: str) -> None:
    expected = set(small().state_dict())
    before = f"{place}." if place else ""
    names = dict.fromkeys([before + name for name in expected], torch.zeros(1))
    names |= dict.fromkeys(["optimizer.state.0.exp_avg", "predictor.norm.weight"], torch.zeros(1))
    assert find_places(names, expected) == [place]


def test_torchvision_names_of_both_versions_are_timms() -> None:
    one, two = (
        renamed({f"net.encoder.layers.encoder_layer_3.mlp.{name}.bias": torch.zeros(1)})
        for name in ("3", "linear_2")
    )
    assert list(one) == list(two) == ["net.blocks.3.mlp.fc2.bias"]


def test_averaged_weights_inside_a_state_dict_are_a_question(tmp_path: Path) -> None:
    model = small()
    state = {f"model.{name}": tensor for name, tensor in other(model).state_dict().items()}
    state |= {f"ema.module.{name}": tensor for name, tensor in model.state_dict().items()}
    file = saved({"state_dict": state}, tmp_path)
    with pytest.raises(VitError, match=r"choose with --model.key model or --model.key ema"):
        vit.load_model(file, like=LIKE)
    assert_same(vit.load_model(file, like=LIKE, key="ema"), model)


def test_weights_beside_averaged_ones_without_a_wrapper_are_named_by_a_dot(tmp_path: Path) -> None:
    model = small()
    state = model.state_dict()
    file = saved(state | {f"ema.{name}": 2 * tensor for name, tensor in state.items()}, tmp_path)
    with pytest.raises(VitError, match=r"choose with --model.key \. or --model.key ema"):
        vit.load_model(file, like=LIKE)
    assert_same(vit.load_model(file, like=LIKE, key="."), model)


def test_a_head_with_a_layer_of_its_own_is_left_over(tmp_path: Path) -> None:
    model = small(num_classes=64)
    state = model.state_dict() | {"pre_logits.fc.weight": torch.randn(64, 64)}
    ours = vit.load_model(saved(state, tmp_path), like=LIKE)
    model.reset_classifier(0)
    assert_same(ours, model)


def test_a_head_of_imagenet_has_its_names(tmp_path: Path) -> None:
    ours = vit.load_model(saved(small(num_classes=1000).state_dict(), tmp_path), like=LIKE)
    assert len(ours.labels) == 1000
    assert "goldfish" in ours.labels[1]


def test_grey_weights_give_a_grey_model(tmp_path: Path) -> None:
    model = small(in_chans=1)
    ours = vit.load_model(saved(model.state_dict(), tmp_path), like=LIKE)
    assert ours.preprocess.channels == 1
    assert_same(ours, model)


def test_no_prefix_token_in_half_precision(tmp_path: Path) -> None:
    name = "vit_medium_patch16_gap_240"
    model = randomised(name, num_classes=0, img_size=48).bfloat16()
    save_file(model.state_dict(), tmp_path / "gap.safetensors")
    assert_same(vit.load_model(tmp_path / "gap.safetensors", like=f"timm:{name}"), model.float())


def test_pictures_are_read_as_the_author_of_the_file_does(tmp_path: Path) -> None:
    model = small()
    mae(model, tmp_path / "mae.pth")
    known = vit.load_model(tmp_path / "mae.pth", like=LIKE).preprocess
    assert (known.mean, known.crop, known.interpolation) == (IMAGENET_MEAN, 224 / 256, "bicubic")
    tagged = vit.load_model(tmp_path / "mae.pth", like=f"{LIKE}.r160_in1k").preprocess
    unknown = vit.load_model(saved(model.state_dict(), tmp_path), like=LIKE).preprocess
    config = timm.data.resolve_model_data_config(model)
    assert tagged == unknown
    assert (unknown.mean, unknown.std, unknown.crop) == (config["mean"], config["std"], config["crop_pct"])
    assert (unknown.height, unknown.width) == (48, 48)


def test_pictures_are_read_as_the_command_line_in_the_file_says(tmp_path: Path) -> None:
    args = Namespace(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], crop_pct=0.8, interpolation="bilinear")
    content = {"state_dict": small().state_dict(), "args": args}
    ours = vit.load_model(saved(content, tmp_path), like=LIKE).preprocess
    assert (ours.mean, ours.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (ours.crop, ours.interpolation) == (0.8, "bilinear")


def test_a_small_vit_of_moco_has_twelve_heads(tmp_path: Path) -> None:
    model = randomised("vit_small_patch16_224", num_classes=0, img_size=32, num_heads=12)
    moco(model, tmp_path / "vit-s-300ep.pth.tar")
    ours = vit.load_model(
        tmp_path / "vit-s-300ep.pth.tar", like="timm:vit_small_patch16_224", key="base_encoder"
    )
    assert_same(ours, model, 32)
    assert ours.preprocess.mean == IMAGENET_MEAN


def test_blocks_of_a_scan_are_read(tmp_path: Path) -> None:
    model = small(num_classes=3)
    npz(model, tmp_path / "vit.npz", big_vision=True)
    arrays: dict[str, Any] = dict(np.load(tmp_path / "vit.npz"))
    first = "Transformer/encoderblock_0/"
    for name in [name for name in arrays if name.startswith(first)]:
        layers = [arrays.pop(name.replace("_0/", f"_{layer}/", 1)) for layer in range(6)]
        arrays[name.replace("_0/", "/", 1)] = np.stack(layers)
    np.savez(tmp_path / "scan.npz", **arrays)
    assert_same(vit.load_model(tmp_path / "scan.npz", like=LIKE), model)


def test_timm_reads_its_own_run_with_the_same_weights(tmp_path: Path) -> None:
    model = small(num_classes=7)
    timm_run(model, tmp_path / "model_best.pth.tar")
    theirs = timm.create_model(SMALL, num_classes=7, img_size=48).eval()
    timm.models.load_checkpoint(theirs, str(tmp_path / "model_best.pth.tar"), use_ema=True)
    ours = vit.load_model(tmp_path / "model_best.pth.tar", like=LIKE, key="state_dict_ema")
    assert_same(ours, theirs)


def test_a_real_file_gives_timms_features_at_its_own_size_and_at_another() -> None:
    models = Path(os.environ.get("VIT_DATA", "data")).parent / "models"
    file = models / "dinov2-vits14" / "vit_small_patch14_dinov2.safetensors"
    if not file.is_file():
        pytest.skip(f"needs {file}: set VIT_DATA to a folder with models/ beside it")
    name = "vit_small_patch14_dinov2"
    ours = vit.load_model(file, like=f"timm:{name}")
    theirs = timm.create_model(name, dynamic_img_size=True).eval()
    theirs.load_state_dict({key: tensor.float() for key, tensor in load_file(file).items()})
    assert (ours.image_size, ours.preprocess.mean) == ((518, 518), IMAGENET_MEAN)
    for size in (518, 224):
        pictures = torch.randn(1, 3, size, size)
        with torch.no_grad():
            torch.testing.assert_close(ours(pictures), theirs(pictures), atol=1e-4, rtol=1e-4)
            states = theirs.forward_features(pictures)
            torch.testing.assert_close(ours.encode(pictures), states, atol=1e-4, rtol=1e-4)


def test_registers_of_dinov2_are_read(tmp_path: Path) -> None:
    name = "vit_small_patch14_reg4_dinov2"
    model = randomised(name, num_classes=0, img_size=28)
    state = model.state_dict()
    position = torch.randn(1, 1, 384)  # of the class token, which timm adds to it
    state["register_tokens"] = state.pop("reg_token")
    state["cls_token"] = state["cls_token"] - position
    state["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
    state["mask_token"] = torch.zeros(1, 384)
    file = saved(state, tmp_path, "dinov2_vits14_reg4_pretrain.pth")
    assert_same(vit.load_model(file, like=f"timm:{name}"), model, 28)


def test_scales_of_deit_iii_are_read(tmp_path: Path) -> None:
    name = "deit3_small_patch16_224"
    model = randomised(name, num_classes=0, img_size=32)
    state = {
        key.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): tensor
        for key, tensor in model.state_dict().items()
    }
    assert_same(vit.load_model(saved({"model": state}, tmp_path), like=f"timm:{name}"), model, 32)
