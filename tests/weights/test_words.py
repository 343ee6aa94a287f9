"""Words that are no model, or of another kind than they say: each message names the way out."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

import vit
from vit.cli import main
from vit.errors import UsageError, VitError

from .timm_models import tiny
from .weight_files import LIKE, npz, saved, small

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 12345\n"


@pytest.mark.parametrize(
    ("verb", "option", "says"),
    [
        ("predict m x --output o.csv", "--model.like", "vit.load_model(FILE, like=...).save(FOLDER)"),
        ("embed m x --output o.csv", "--model.key", "vit.load_model(FILE, like=...).save(FOLDER)"),
        ("evaluate m", "--model.like", "vit.load_model(FILE, like=...).save(FOLDER)"),
        ("attend m x --output o", "--model.like", "vit.load_model(FILE, like=...).save(FOLDER)"),
        ("info m", "--model.like", "vit.load_model(FILE, like=...).save(FOLDER)"),
        ("info m", "--model.a.b", "; "),
        ("info m", "--model.", "; "),
        ("predict m x --output o.csv", "--inputs.a", "; "),
        ("predict m x --output o.csv", "--output.csv", "; did you mean --output?"),
        ("data m", "--path.x", "; "),
    ],
)
@pytest.mark.parametrize("form", ["{} other", "{}=other"])
def test_a_part_of_an_argument_is_an_unknown_option(
    verb: str, option: str, says: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The word after it would replace the argument."""
    assert main(f"{verb} {form.format(option)}".split()) == 2
    error = capsys.readouterr().err
    assert f"unknown option {option}" in error
    assert says in error
    assert error.count("\n") == 1


def test_the_help_names_every_way_in(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["info", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "timm:NAME_OR_FOLDER, hf-hub:OWNER/NAME, hf:REPO_OR_FOLDER" in words


def test_a_file_of_weights_for_another_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(saved(small().state_dict(), tmp_path))]) == 1
    assert "in vit train, or vit.load_model(FILE, like=...)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("nope.pth", "there is no file .*nope.pth$"),
        ("nope", "there is no file .*nope$"),
        ("notes.txt", "notes.txt is not a file of weights, whose name ends in .safetensors, .pth"),
        ("run", "^--model.like is timm:test_vit, and .*run is not a file of weights: leave it out"),
    ],
)
def test_like_without_a_file_of_weights(tmp_path: Path, word: str, says: str) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match=says):
        vit.load_model(tmp_path / word, like=LIKE)
    with pytest.raises(UsageError, match=says.replace("like is timm:test_vit", "key is model")):
        vit.load_model(tmp_path / word, key="model")


def test_wrong_values_of_like_and_key(tmp_path: Path) -> None:
    file = saved({"model": small().state_dict()}, tmp_path)
    for like, key in (
        ("test_vit", None),
        ("timm:vit_tinny_patch16_224", None),
        ("timm:resnet18", None),
        (LIKE, "ema"),
    ):
        with pytest.raises(UsageError, match=r"--model\.(like|key) is "):
            vit.load_model(file, like=like, key=key)
    with pytest.raises(VitError, match=r"^there is no file .*nope.pth$"):
        vit.load_model(tmp_path / "nope.pth")


def test_folders_of_others_without_a_scheme(tmp_path: Path) -> None:
    hf, theirs = tmp_path / "hf", tmp_path / "timm"
    hf.mkdir()
    (hf / "config.json").write_text(json.dumps({"model_type": "vit"}))
    save_file({"x": torch.ones(3)}, hf / "model.safetensors")
    save_for_hf(tiny(num_classes=3), theirs, safe_serialization=True)
    bundle = tmp_path / "bundle"
    vit.load_model(f"timm:{theirs}").save(bundle)
    for word, says in (
        (hf, f"did you mean hf:{hf}?"),
        (theirs, f"did you mean timm:{theirs}?"),
        (f"hf:{theirs}", f"did you mean timm:{theirs}?"),
        (f"hf:{bundle}", f"did you mean {bundle}?"),
        ("nowhere", "timm:FOLDER, hf-hub:OWNER/NAME"),
    ):
        with pytest.raises(VitError) as caught:
            vit.load_model(word)
        assert says in str(caught.value)


@pytest.mark.parametrize(("value", "what"), [(torch.nan, "NaN"), (-torch.inf, "infinity")])
def test_nan_and_infinity(tmp_path: Path, value: float, what: str) -> None:
    model = small(num_classes=3)
    with torch.no_grad():
        model.blocks[3].attn.qkv.weight[5, 7] = value
    file = saved(model.state_dict(), tmp_path)
    with pytest.raises(VitError, match=rf"weights.pth cannot be used: blocks.3.attn.qkv.weight has {what}"):
        vit.load_model(file, like=LIKE)
    npz(model, tmp_path / "vit.npz", big_vision=True)
    arrays: dict[str, Any] = dict(np.load(tmp_path / "vit.npz"))
    assert any(not np.isfinite(array).all() for array in arrays.values())
    with pytest.raises(
        VitError, match=rf"vit.npz cannot be used: \S*Transformer/encoderblock_3/\S* has {what}"
    ):
        vit.load_model(tmp_path / "vit.npz", like=LIKE)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.npz"])
def test_a_pointer_of_git_lfs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(VitError, match="is a Git LFS pointer: git lfs pull fetches the weights"):
        vit.load_model(tmp_path / name, like=LIKE)


@pytest.mark.parametrize("scheme", ["hf", "timm"])
def test_a_folder_with_a_pointer_of_git_lfs(tmp_path: Path, scheme: str) -> None:
    if scheme == "timm":
        save_for_hf(tiny(num_classes=3), tmp_path, safe_serialization=True)
    else:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(VitError, match=r"model.safetensors is a Git LFS pointer"):
        vit.load_model(f"{scheme}:{tmp_path}")


def test_what_torch_did_not_write(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    for protocol in (2, 4):
        file.write_bytes(pickle.dumps({"x": np.ones(3)}, protocol=protocol))
        with pytest.raises(VitError, match="is a plain pickle, no file of torch"):
            vit.load_model(file, like=LIKE)
    torch.save({"x": torch.ones(3)}, file, pickle_protocol=4)  # torch warns before its error
    with pytest.raises(VitError, match=r"cut short, or no file of torch.save: .*operand"):
        vit.load_model(file, like=LIKE)
    save_file({"x": torch.ones(3)}, file)
    with pytest.raises(VitError, match=r"let its name end in .safetensors"):
        vit.load_model(file, like=LIKE)
    file.write_text("<!DOCTYPE html>\n<html>" + "é" * 60, encoding="utf-8")
    with pytest.raises(VitError, match="is a text, which begins with '<!DOCTYPE html> <html>"):
        vit.load_model(file, like=LIKE)


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_model_is_told_from_a_dict_with_objects(tmp_path: Path, new: bool) -> None:
    file = tmp_path / "weights.pth"
    model = small()
    torch.save(model, file, _use_new_zipfile_serialization=new)
    with pytest.raises(VitError, match=r"weights_only=False\).state_dict\(\), ") as caught:
        vit.load_model(file, like=LIKE)
    assert str(caught.value).count("timm.") + str(caught.value).count("torch.nn.") <= 3
    torch.save({"state_dict": model.state_dict(), "x": tiny}, file, _use_new_zipfile_serialization=new)
    with pytest.raises(VitError, match=r"weights_only=False\)\['state_dict'\], "):
        vit.load_model(file, like=LIKE)
