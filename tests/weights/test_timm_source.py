"""Models of timm by name and by folder, as timm writes it; local weights stand in for downloads."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

import vit
from vit.errors import VitError
from vit.weights.timm import import_timm, timm_architecture, timm_model

from .timm_models import images, tiny


def saved(folder: Path, safe: bool | str = True, **arguments: Any) -> Any:
    """A model with three named classes, written by timm."""
    model = tiny(num_classes=3, **arguments)
    names = {"label_names": ["cat", "dog", "owl"], "label_descriptions": {"owl": "an owl"}}
    save_for_hf(
        model, folder, safe_serialization=safe, model_config=names, data_config={"crop_mode": "squash"}
    )
    return model


SIZE = {"img_size": [48, 32], "patch_size": 8, "embed_dim": 39, "num_heads": 3, "depth": 2, "num_classes": 3}


def edited(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["pretrained_cfg"].update(changes.pop("pretrained_cfg", {}))
    file.write_text(json.dumps(config | changes))


@pytest.mark.parametrize("safe", [True, False, "both"])
@pytest.mark.parametrize("word", ["timm:{}", "local-dir:{}", "timm:local-dir:{}"])
def test_a_folder_of_timm(tmp_path: Path, word: str, safe: bool | str) -> None:
    theirs = saved(tmp_path, safe)
    word = word.format(tmp_path)
    ours, pixels = vit.load_model(word), images(theirs)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(pixels), atol=1e-5, rtol=0)
    assert ours.labels == ["cat", "dog", "an owl"]
    assert (ours.preprocess.height, ours.preprocess.width, ours.preprocess.resize) == (24, 40, "squash")
    file = tmp_path / ("model.safetensors" if safe else "pytorch_model.bin")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    kept = word.replace("timm:local-dir", "local-dir")
    assert ours.source == {"word": kept, "license": "apache-2.0", "sha256": sha256}


def test_a_relative_folder_and_one_without_a_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tiny(num_classes=0)
    save_for_hf(theirs, tmp_path / "mine", safe_serialization=True)
    monkeypatch.chdir(tmp_path)
    ours, pixels = timm_model("mine"), images(theirs)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(pixels), atol=1e-5, rtol=0)
    assert (ours.labels, ours.source["word"]) == ([], "timm:mine")


def test_a_registered_name_comes_before_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "vit_tiny_patch16_224")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timm, "create_model", refuses_downloads(timm.create_model))
    with pytest.raises(VitError, match=r"timm:vit_tiny_patch16_224 could not be loaded .*no download"):
        timm_model("vit_tiny_patch16_224")
    assert timm_model("./vit_tiny_patch16_224").labels == ["cat", "dog", "an owl"]


class Foreign:
    """An object that a pickle of weights has no business with."""


def cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def in_pickle(thing: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(thing) if isinstance(thing, bytes) else torch.save(
            thing, folder / "pytorch_model.bin"
        )

    return write


def with_tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return write


def config_of(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "config.json").write_text(text)

    return write


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "model.safetensors cannot be read: "),
        (
            in_pickle({"head.bias": Foreign()}),
            "pytorch_model.bin cannot be read: .*weights_only=True blocked.*Foreign",
        ),
        (in_pickle(pickle.dumps(Foreign())), "pytorch_model.bin cannot be read: "),
        (in_pickle(b"PK\x03\x04 nothing"), "pytorch_model.bin cannot be read: "),
        (in_pickle([torch.zeros(3)]), "pytorch_model.bin cannot be read: "),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "has no weights, expected one of model.safetensors, py",
        ),
        (
            with_tensors(lambda state: state.pop("head.bias")),
            "do not fit each other: the file lacks head.bias$",
        ),
        (
            with_tensors(lambda state: [state.pop(name) for name in list(state) if "blocks.1." in name]),
            r"lacks blocks.1.norm1.weight, blocks.1.norm1.bias, blocks.1.attn.qkv.weight and \d+ more",
        ),
        (
            with_tensors(lambda state: state.update({"blocks.2.norm1.weight": torch.zeros(39)})),
            "the file also has blocks.2.norm1.weight",
        ),
        (
            with_tensors(lambda state: state.update({"head.weight": torch.zeros(4, 39)})),
            r"size mismatch for head.weight: .*\[4, 39\].*\[3, 39\]",
        ),
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read .*No such file"),
        (config_of("{"), "config.json cannot be read "),
        (config_of("[1]"), "config.json has no architecture, which timm's folders name$"),
        (config_of('{"model_type": "vit"}'), "has no architecture.*hf:.* reads transformers' folders"),
        (config_of('{"format": "vit-bundle-1"}'), "has no architecture.*a bundle is named without timm:"),
        (
            config_of('{"architecture": "vit_big"}'),
            "architecture 'vit_big', which timm [0-9.]+ does not know",
        ),
        (
            config_of('{"architecture": "resnet18"}'),
            "cannot import a model of class ResNet, expected one of timm's VisionTransformer",
        ),
        (
            lambda folder: edited(folder, model_args=SIZE),
            r"do not fit each other: .*size mismatch for pos_embed",
        ),
        (lambda folder: edited(folder, model_args={"depht": 2}), "timm cannot make the model: .*depht"),
        (
            lambda folder: edited(folder, pretrained_cfg={"crop_mode": "fit"}),
            "crop_mode 'fit', expected one of center",
        ),
        (
            lambda folder: edited(folder, num_classes=5, label_names=None),
            "has 3 classes in model_args and 5 in its",
        ),
    ],
)
def test_a_folder_that_cannot_be_read_says_why(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    saved(tmp_path)
    damage(tmp_path)
    with pytest.raises(VitError, match=message) as caught:
        vit.load_model(f"timm:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_folder_of_several_channels_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, in_chans=4)
    with pytest.raises(VitError, match="reads 4 channels, and vit reads pictures of 1"):
        vit.load_model(f"local-dir:{tmp_path}")


def refuses_downloads(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_model(name: str, *arguments: Any, pretrained: bool = False, **named: Any) -> Any:
        if pretrained:
            raise OSError("no download\nin the tests")
        return create(name, *arguments, **named)

    return create_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit_tiny_patch16_225",
            "timm has no vision transformer vit_tiny_patch16_225; did you mean vit_tiny_patch16_224",
        ),
        ("vit_tiny_patch16_224.augreg", "has no pretrained weights augreg; did you mean augreg_in21k"),
        (
            "resnet18",
            "timm:resnet18: cannot import a model of class ResNet, expected one of timm's VisionTransformer",
        ),
        ("vit_small_r26_s32_224", "patch_embed is HybridEmbed, which takes patches from convolutions"),
        ("vit_base_patch16_18x2_224", "blocks.0 is ParallelThingsBlock, expected Block"),
        ("swin_tiny_patch4_window7_224", "class SwinTransformer .its attention stays within windows"),
        ("vit_base_patch16_xp_224", "no pretrained weights for vit_base_patch16_xp_224"),
        ("eva02_tiny_patch14_224", "timm:eva02_tiny_patch14_224 could not be loaded .*no download in the"),
        ("vit_small_patch16_dinov3", "timm:vit_small_patch16_dinov3 could not be loaded .*no download in"),
        ("beit_base_patch16_224", "timm:beit_base_patch16_224 could not be loaded .*no download in the"),
        (
            "vit_small_patch8_224.dino",
            "timm:vit_small_patch8_224.dino could not be loaded .*no download in the",
        ),
        ("owner/name", "timm:owner/name is no folder; a repository of the hub is hf-hub:OWNER/NAME"),
        ("vit_wee_patch16_reg1_gap_256.untrained", "no pretrained weights untrained"),
        (
            "vit_base_patch16_plus_240",
            "no pretrained weights for vit_base_patch16_plus_240: a file of weights",
        ),
    ],
)
def test_names_are_looked_at_before_a_download(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm, "create_model", refuses_downloads(timm.create_model))
    with pytest.raises(VitError, match=message) as caught:
        vit.load_model(f"timm:{name}")
    assert "\n" not in str(caught.value)


def test_a_name_is_its_pretrained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False: create(name))
    ours = vit.load_model("timm:test_vit.r160_in1k")
    assert ours.source == {"word": "timm:test_vit.r160_in1k", "license": "apache-2.0"}
    assert (ours.labels[0], len(ours.labels), ours.preprocess.height) == ("tench, Tinca tinca", 1000, 160)


@pytest.mark.parametrize("word", ["hf-hub:owner/name", "timm:hf-hub:owner/name"])
def test_a_repository_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The hub is stood in for by a folder that timm wrote."""
    theirs = saved(tmp_path)

    def fetched(repo_id: str, filename: str, **_: Any) -> str:
        assert repo_id == "owner/name"
        return str(tmp_path / filename)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", fetched)
    ours, pixels = vit.load_model(word), images(theirs)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(pixels), atol=1e-5, rtol=0)
    assert ours.labels == ["cat", "dog", "an owl"]
    assert ours.source == {"word": "hf-hub:owner/name", "license": "apache-2.0"}
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(
        VitError, match=r"hf-hub:owner/name is no repository in timm's format: .*'architecture'"
    ):
        vit.load_model(word)


def test_an_architecture_alone() -> None:
    model = timm_architecture("timm:vit_tiny_patch16_224.augreg_in21k", img_size=32, depth=1)
    assert model.patch_embed.img_size == (32, 32)
    assert import_timm(model, {"word": "mine", "sha256": "0"}).source == {"word": "mine", "sha256": "0"}
    with pytest.raises(VitError, match="timm has no vision transformer vit_teeny; did you mean"):
        timm_architecture("vit_teeny")
    with pytest.raises(VitError, match=r"timm cannot make vit_tiny_patch16_224 with {'depht': 1}: .*depht"):
        timm_architecture("vit_tiny_patch16_224", depht=1)
