"""Files of weights: one of each kind gives the logits of its peer, or is refused when something is wrong."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import vit
from vit.errors import VitError

from .weight_files import KINDS, Kind, table

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class Foreign:
    """What a training script may leave in a file."""


def written(kind: Kind, folder: Path) -> tuple[Any, Path]:
    """The peer, and its file."""
    model = kind.make(kind.architecture, **kind.arguments)
    file = folder / kind.file
    kind.write(model, file)
    return model, file


def read(kind: Kind, file: Path) -> Any:
    return vit.load_model(file, like=f"timm:{kind.architecture}", key=kind.key)


def holders(file: Path) -> list[Path]:
    """The files that hold the tensors."""
    return sorted(file.parent.glob("model-*.safetensors")) if file.suffix == ".json" else [file]


def rewrite(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the dicts of tensors in a file."""
    for holder in holders(file):
        if holder.suffix == ".safetensors":
            save_file(change(load_file(holder)), holder)
        elif holder.suffix == ".npz":
            arrays: dict[str, Any] = change(dict(np.load(holder)))
            np.savez(holder, **arrays)
        else:
            torch.save(change(torch.load(holder, weights_only=False)), holder)


def without_block(tree: dict[str, Any]) -> dict[str, Any]:
    """Without block 1, wherever there is one; in blocks.1.5. the first number is that of a chunk."""
    block = r"(^|\.)(res)?blocks\.(\d+\.)?1\.(?!\d)|encoder_layer_1\.|encoderblock_1/"
    return {
        key: without_block(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if not re.search(block, str(key))
    }


@every_kind
def test_logits_are_those_of_the_peer(kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, file = written(kind, tmp_path)
    with caplog.at_level(logging.INFO, "vit"):
        ours = read(kind, file)
    if "half precision" in kind.name:
        theirs = theirs.half().float()
    size = kind.arguments.get("img_size") or kind.arguments.get("image_size")
    assert ours.image_size == (size, size)
    pictures = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected, found = theirs(pictures), ours(pictures)
    assert expected.std() > 0.05
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert not ours.training
    assert ours.labels == []
    assert ours.preprocess(np.zeros((50, 60, 3), np.uint8)).shape == (3, size, size)
    assert ours.source["word"] == str(file)
    assert len(ours.source["sha256"]) == 64
    said = caplog.messages[-1]
    assert f"taken{f' from {kind.place}' if kind.place else ''} as timm:{kind.architecture}" in said
    left = said.partition("left over: ")[2].partition(";")[0]
    assert {part.partition(" (")[0] for part in left.split(", ")} == set(kind.left or ["none"])
    assert ("it has no head" in said) == (kind.arguments["num_classes"] == 0)


@every_kind
def test_a_file_that_is_cut_short_is_refused(kind: Kind, tmp_path: Path) -> None:
    _, file = written(kind, tmp_path)
    holder = holders(file)[-1]
    content = holder.read_bytes()
    for size in (len(content) * 2 // 3, 100, 0):
        holder.write_bytes(content[:size])
        with pytest.raises(VitError, match=r"cut short|empty") as caught:
            read(kind, file)
        assert str(holder) in str(caught.value)


@every_kind
def test_a_file_without_one_block_is_refused(kind: Kind, tmp_path: Path) -> None:
    _, file = written(kind, tmp_path)
    rewrite(file, without_block)
    with pytest.raises(VitError, match=r"lacks \S*block\S*1\S+( and \d+ more)? of timm:") as caught:
        read(kind, file)
    assert "--model.like" in str(caught.value)


@every_kind
def test_a_file_with_a_foreign_object_is_refused(kind: Kind, tmp_path: Path) -> None:
    if "safetensors" in kind.file:
        pytest.skip("safetensors holds tensors alone")
    _, file = written(kind, tmp_path)
    if file.suffix == ".npz":
        rewrite(file, lambda arrays: arrays | {"extra": np.array([Foreign()], dtype=object)})
        name = "Object arrays"
    else:
        rewrite(file, lambda content: content | {"extra": Foreign()})
        name = f"{Foreign.__module__}.Foreign"
    with pytest.raises(VitError, match=name):
        read(kind, file)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.key], ids=lambda kind: kind.name)
def test_two_candidates_are_a_question(kind: Kind, tmp_path: Path) -> None:
    _, file = written(kind, tmp_path)
    like = f"timm:{kind.architecture}"
    with pytest.raises(VitError, match=rf"choose with .*--model.key {kind.key}\b") as caught:
        vit.load_model(file, like=like)
    assert str(caught.value).count("--model.key") == 2
    with pytest.raises(VitError, match=rf"--model.key is neither: expected .*{kind.key}"):
        vit.load_model(file, like=like, key="neither")
    assert vit.load_model(file, like=like, key=kind.place).labels == []


def test_an_index_must_name_files_that_are_there(tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.file.endswith(".json"))
    _, file = written(kind, tmp_path)
    first = holders(file)[0]
    expected = read(kind, file).source["sha256"]
    assert read(kind, first).source["sha256"] == expected
    first.unlink()
    with pytest.raises(VitError, match=f"{first.name} is missing"):
        read(kind, file)
    file.write_text(json.dumps({"weight_map": {"norm.weight": "../other.safetensors"}}))
    with pytest.raises(VitError, match=r"names '\.\./other\.safetensors'"):
        read(kind, file)
    file.write_text("{}")
    with pytest.raises(VitError, match="no index"):
        read(kind, file)


def test_the_page_has_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "weights.md"
    assert table().strip() in page.read_text(encoding="utf-8")
