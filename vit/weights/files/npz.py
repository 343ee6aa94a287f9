"""Weights of the original ViT and of big_vision (JAX), in NumPy's `.npz`: timm reads them."""

import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vit.errors import VitError, one_line_message
from vit.weights.files.architecture import SCHEME, create, way_out
from vit.weights.files.checks import check_finite, check_patches, image_size, lacks, some
from vit.weights.files.convert import Converted

Shapes = dict[str, tuple[int, ...]]

PREFIXES = ("params/img/", "params/", "opt/target/", "")  # the first is of a model of images and texts
POSITIONS = ("pos_embedding", "Transformer/posembed_input/pos_embedding")
HEAD = ("head/kernel", "head/bias")
PATCHES = "embedding/kernel"
STACKED = "Transformer/encoderblock/LayerNorm_0/scale"  # blocks of a scan: one array for all of them


def convert_npz(file: Path, name: str) -> Converted:
    """timm's model with the weights of an `.npz` file.

    Args:
        file: Of google-research/vision_transformer or big_vision.
        name: Of timm's architecture.

    Raises:
        VitError: The file is damaged, or does not fit the architecture.
    """
    shapes = _shapes(file)
    prefix = next((prefix for prefix in PREFIXES if prefix + PATCHES in shapes), None)
    if prefix is None:
        raise VitError(f"{file} has no {PATCHES}: expected weights of the original ViT or of big_vision")
    own = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    left = Counter(key.split("/")[0] for key in shapes if not key.startswith(prefix))
    plan = create(name, num_classes=0)
    *patch, _, width = own[PATCHES]
    check_patches(file, name, plan, width, tuple(patch), {})
    positions = next((own[key] for key in POSITIONS if key in own), None)
    if positions is None:
        raise VitError(lacks(file, name, list(POSITIONS[:1]), {}))
    size = image_size(file, name, plan, positions[-2])
    model = create(name, num_classes=_classes(own, plan.num_features), img_size=size)
    left += _unread(file, name, model, own)
    _load(file, name, model)
    return Converted(model, name, len(shapes) - left.total(), dict(left))


def _shapes(file: Path) -> Shapes:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {key: arrays[key].shape for key in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = one_line_message(error)
        raise VitError(f"{file} is damaged, cut short, or no .npz of plain arrays: {reason}") from None


def _classes(own: Shapes, features: int) -> int:
    """Classes of the head on the features; 0 where there is none, or one on a layer of its own."""
    if any(key not in own for key in HEAD) or any(key.startswith("pre_logits/") for key in own):
        return 0
    return own[HEAD[0]][-1] if own[HEAD[0]][0] == features else 0


def _unread(file: Path, name: str, model: Any, own: Shapes) -> Counter[str]:
    """The parts of the file that timm does not read, with their number of arrays.

    Raises:
        VitError: They belong to the backbone.
    """
    depth = len(model.blocks)
    optional = {
        "cls": model.has_class_token,
        "head": model.num_classes > 0,
        "MAPHead_0": model.global_pool == "map",
    }
    read = {"embedding", "pos_embedding", "Transformer"} | {part for part, has in optional.items() if has}
    numbers = [int(found[1]) for key in own if (found := re.match(r"Transformer/encoderblock_(\d+)/", key))]
    blocks = own[STACKED][0] if STACKED in own else 1 + max(numbers, default=-1)
    parts = Counter(key.split("/")[0] for key in own)
    unknown = sorted(parts.keys() & {"cls", "MAPHead_0"} - read)
    if blocks > depth or unknown:
        theirs, wanted = (some(unknown), "none") if unknown else (f"{blocks} blocks", str(depth))
        raise VitError(f"{file} has {theirs}, and {SCHEME}{name} has {wanted}: {way_out({})}")
    return Counter({part: count for part, count in parts.items() if part not in read})


def _load(file: Path, name: str, model: Any) -> None:
    """Give the model memory, and let timm fill it. What is NaN afterwards was not in the file."""
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    try:
        model.load_pretrained(str(file))
    except KeyError as error:
        missing = re.search(r"\S+(?= is not a file)", str(error.args[0]))
        raise VitError(lacks(file, name, [missing[0] if missing else str(error)], {})) from None
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise VitError(f"{file} does not fit {SCHEME}{name}: {one_line_message(error)}") from None
    if any(not parameter.isfinite().all() for parameter in model.parameters()):
        with np.load(file, allow_pickle=False) as arrays:
            numbers = {key: arrays[key] for key in arrays.files if arrays[key].dtype.kind == "f"}
        check_finite(file, {key: torch.from_numpy(array) for key, array in numbers.items()})
    empty = [key for key, parameter in model.named_parameters() if parameter.isnan().any()]
    if empty:
        raise VitError(lacks(file, name, empty, {}))
