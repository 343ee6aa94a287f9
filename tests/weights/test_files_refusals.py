"""Files of weights that are refused: each says what, where, and the way out."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import vit
from vit.errors import VitError

from .weight_files import LIKE, npz, saved, small


class Foreign:
    """What a training script may leave in a file."""


def test_what_is_unknown_beside_a_backbone_is_refused(tmp_path: Path) -> None:
    state = small().state_dict()
    file = saved(
        state | {"blocks.0.ls1.gamma": torch.ones(64), "blocks.1.ls1.gamma": torch.ones(64)}, tmp_path
    )
    with pytest.raises(VitError, match=r"has blocks.0.ls1.gamma and 1 more, which timm:test_vit does not"):
        vit.load_model(file, like=LIKE)
    deep = {name.replace("blocks.5.", "blocks.6."): tensor for name, tensor in state.items()}
    with pytest.raises(VitError, match=r"has blocks.6.\S+ and 11 more, which timm:test_vit does not have"):
        vit.load_model(saved(state | deep, tmp_path), like=LIKE)


def test_the_architecture_is_asked_for(tmp_path: Path) -> None:
    file = saved({"model": small().state_dict()}, tmp_path)
    with pytest.raises(
        VitError,
        match=r"is a file of weights: --model.like timm:ARCHITECTURE in vit train, or "
        r"vit.load_model\(FILE, like=...\) names .* width 64",
    ):
        vit.load_model(file)
    tiny = timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict()
    for like, message in (
        (None, "width 192, 12 blocks and patches of 16 pixels, as --model.like timm:vit_tiny_patch16_224"),
        (LIKE, f"has width 192, and {LIKE} has width 64: the weights have .*timm:vit_tiny_patch16_224$"),
        ("vit_tiny_patch16_224", "expected timm:ARCHITECTURE"),
        ("timm:vit_tinny_patch16_224", "did you mean vit_tiny_patch16_224"),
        ("timm:resnet18", "timm:resnet18: cannot import a .*ResNet"),
        ("timm:vit_small_patch32_224", "has width 192, and timm:vit_small_patch32_224 has width 384"),
    ):
        with pytest.raises(VitError, match=message):
            vit.load_model(saved(tiny, tmp_path, "tiny.pth"), like=like)


def test_patches_of_another_size_are_refused_and_not_resampled(tmp_path: Path) -> None:
    file = saved(small(patch_size=8).state_dict(), tmp_path)
    with pytest.raises(VitError, match="patches of 8 x 8 pixels, and timm:test_vit has patches of 16 x 16"):
        vit.load_model(file, like=LIKE)
    model = small(num_classes=3)
    npz(model, tmp_path / "vit.npz", big_vision=True)
    with pytest.raises(VitError, match="width 64, and timm:vit_tiny_patch16_224 has width 192"):
        vit.load_model(tmp_path / "vit.npz", like="timm:vit_tiny_patch16_224")


def test_channels_that_no_picture_has_are_refused(tmp_path: Path) -> None:
    file = saved(small(in_chans=5).state_dict(), tmp_path)
    with pytest.raises(VitError, match=r"patches of 5 channels, and vit reads pictures of 1 \(grey\) or 3"):
        vit.load_model(file, like=LIKE)


def test_positions_that_make_no_square_are_refused(tmp_path: Path) -> None:
    state = small().state_dict()
    file = saved(state | {"pos_embed": torch.randn(1, 8, 64)}, tmp_path)
    with pytest.raises(
        VitError, match=r"8 positions, 1 of them of prefix tokens .* 7 patches make no square"
    ):
        vit.load_model(file, like=LIKE)


def test_an_npz_with_more_than_the_architecture_is_refused(tmp_path: Path) -> None:
    model, file = small(num_classes=3), tmp_path / "vit.npz"
    npz(model, file, big_vision=True)
    arrays: dict[str, Any] = dict(np.load(file))
    np.savez(tmp_path / "deep.npz", **arrays, **{"Transformer/encoderblock_6/LayerNorm_0/scale": np.ones(64)})
    np.savez(tmp_path / "map.npz", **arrays, **{"MAPHead_0/probe": np.ones((1, 1, 64))})
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    for name, message in (
        ("deep", "has 7 blocks, and timm:test_vit has 6"),
        ("map", "has MAPHead_0, and timm:test_vit has none"),
        ("other", "has no embedding/kernel"),
    ):
        with pytest.raises(VitError, match=message):
            vit.load_model(tmp_path / f"{name}.npz", like=LIKE)
    with pytest.raises(VitError, match=r"holds one model, and --model.key is teacher"):
        vit.load_model(file, like=LIKE, key="teacher")


def test_programs_and_whole_models_are_refused(tmp_path: Path) -> None:
    model = small()
    with pytest.warns(FutureWarning, match="deprecated|not supported"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(VitError, match="is a TorchScript archive"):
        vit.load_model(tmp_path / "script.pt", like=LIKE)
    with pytest.raises(VitError, match=r"it wants .*timm.models.vision_transformer.VisionTransformer"):
        vit.load_model(saved(model, tmp_path), like=LIKE)
    old = tmp_path / "old.pt"
    torch.save({"model": model.state_dict(), "x": Foreign()}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(VitError, match=rf"it wants {Foreign.__module__}.Foreign"):
        vit.load_model(old, like=LIKE)


class Command:
    """An object that runs a command when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_in_a_file_is_run(tmp_path: Path, new: bool) -> None:
    file = tmp_path / "weights.pth"
    content = {"model": small().state_dict(), "x": Command(tmp_path / "ran")}
    torch.save(content, file, _use_new_zipfile_serialization=new)
    with pytest.raises(VitError, match=r"it wants \w+.system"):
        vit.load_model(file, like=LIKE)
    assert not (tmp_path / "ran").exists()


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    for content, message in (
        ([torch.ones(3)], "holds a list, expected a dict of tensors"),
        ({"epoch": 3}, "holds no tensors"),
        (
            {"norm.weight": torch.ones(64)},
            "holds no weights of timm:test_vit, its 1 tensors are named norm.w",
        ),
        ({"vit.embeddings.patch_embeddings.projection.bias": torch.ones(3)}, "hf:FOLDER"),
        ({"model.encoder.blocks.0.attention.query.weight": torch.ones(3)}, "it is of vit itself"),
    ):
        with pytest.raises(VitError, match=message):
            vit.load_model(saved(content, tmp_path), like=LIKE)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VitError, match=r"config.json is not a file of weights: expected one of .safetensors"):
        vit.load_model(tmp_path / "config.json", like=LIKE)
    (tmp_path / "weights.pt").write_text("no pickle\n")
    with pytest.raises(VitError, match=r"is a text, which begins with 'no pickle', and no file of weights"):
        vit.load_model(tmp_path / "weights.pt", like=LIKE)
