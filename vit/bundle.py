"""The model bundle: `model.safetensors`, `config.json`, for text models `tokenizer.json`, and no pickle.

It holds everything that prediction needs: architecture, weights, label names, preprocessing, and the model's
scores. This module knows no model class; `vit/weights/models.py` makes a model from a bundle.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vit.atomic import replacing, write_text
from vit.errors import VitError

FORMAT = "vit-bundle-1"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
BESIDE = {"weights", "tokenizer"}  # fields with a file of their own
OPTIONAL = {"thresholds"}  # fields that are left out where they are empty
ARRAYS = {"labels", "thresholds"}
JSON_NAMES = {dict: "object", list: "array"}
RENAMED = {"words.": "token_embedding."}  # prefixes of parameter names in bundles of version 0.1


@dataclass
class Bundle:
    """A model as files.

    Args:
        architecture: Arguments of the tower, plain values.
        labels: Class names in the order of the logits.
        preprocess: Fields of `vit.data.Preprocess`.
        weights: The state dict.
        scores: Scores of the model by split, for example {"val": {"accuracy": 0.98, "n": 144}}.
        training: How it was trained: the dataset's name and splits, seconds, optimiser steps. `init` says
            where the weights come from, if not from training alone: `word`, of a file `like` and `key`,
            where known `sha256` and `license`, and `head`: `new` or `kept`.
        tokenizer: Content of `tokenizer.json`; None for an image model.
        thresholds: Of a model that gives several labels, one probability per label, from which on an input
            has it. Empty for one label per input; the key is then left out, as in bundles of version 0.1.
    """

    architecture: dict[str, Any]
    labels: list[str]
    preprocess: dict[str, Any]
    weights: dict[str, Tensor]
    scores: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    thresholds: list[float] = field(default_factory=list)


def save_model(model: Any, folder: str | Path) -> None:
    """Write a tower as a bundle: every command and `vit.load_model` take the folder for a model.

    Args:
        model: With `preprocess`. Its `source` is stored as `training.init`.
        folder: Made if it is missing; a bundle in it is replaced, and other files are not.

    Raises:
        VitError: The model has no preprocessing, the folder holds something else than a bundle, or it cannot
            be written to.
    """
    if model.preprocess is None:
        way_out = {
            "image": "set model.preprocess, a vit.data.preprocess.Preprocess",
            "text": "vit.from_huggingface(model, tokenizer) takes the tokenizer along, and "
            "model.use_tokenizer(vit.text.Tokenizer(CONTENT_OF_tokenizer.json, model.length)) sets one",
        }[model.reads]
        raise VitError(
            f"the model has no preprocess, which {model.reads}s need: {way_out}; vit.load_model reads one "
            "with the weights"
        )
    _require_replaceable(Path(folder))
    bundle = Bundle(
        architecture=model.architecture,
        labels=model.labels,
        preprocess=model.preprocess.to_dict(),
        weights=model.state_dict(),
        training={"init": model.source | {"head": "kept"}} if model.source else {},
        tokenizer=getattr(model.preprocess, "definition", None),
        thresholds=model.thresholds,
    )
    write_bundle(Path(folder), bundle)


def _require_replaceable(folder: Path) -> None:
    """Refuse a folder with files of others, or of a run.

    Raises:
        VitError: With the way out.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    is_run = any((folder / name).exists() for name in ("checkpoints", "model"))
    if is_run or not _has_description(folder):
        held = "is the folder of a run" if is_run else "holds files, and no model of vit"
        raise VitError(f"{folder} {held}: nothing in it is replaced; save the model to another folder")


def _has_description(folder: Path) -> bool:
    """Whether `config.json` is that of a bundle, of this version or another."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and str(content.get("format")).startswith("vit-bundle-")


def is_bundle(folder: Path) -> bool:
    """Whether the folder looks like a bundle."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write the files, the weights first, each atomically.

    Raises:
        VitError: The folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder for the model")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in without_shared(bundle.weights)}
    with replacing(folder / WEIGHTS) as beside:
        beside.write_bytes(save(weights))  # `save_file` makes a file that only its owner may read
    if bundle.tokenizer is not None:
        write_text(folder / TOKENIZER, bundle.tokenizer)
    write_description(folder, bundle)


def without_shared(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights, of tensors that are one and the same the first alone; `with_shared` is the way back."""
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if not tensor.numel() or place not in seen:
            yield name, tensor
        seen.add(place)


def with_shared(model: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, with those of parameters that are one in the model under all of their names."""
    first: dict[int, str] = {}
    named = dict(weights)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known in weights:
            named.setdefault(name, weights[known])
    return named


def write_description(folder: Path, bundle: Bundle) -> None:
    """Write `config.json` alone, for example when a score has been added."""
    description = {"format": FORMAT} | {
        name: value
        for name, value in vars(bundle).items()
        if name not in BESIDE and (value or name not in OPTIONAL)
    }
    write_text(folder / CONFIG, json.dumps(description, indent=2) + "\n")


def read_description(folder: Path) -> dict[str, Any]:
    """Everything in a bundle but the weights.

    Raises:
        VitError: `config.json` is missing or broken, or has another format.
    """
    file = folder / CONFIG
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VitError(f"{file} cannot be read ({error}): is {folder} a model bundle?") from None
    found = description.pop("format", None) if isinstance(description, dict) else None
    if found != FORMAT:
        raise VitError(f"{file} has format {found!r}, expected {FORMAT!r}: is {folder} a model bundle?")
    known = {part.name for part in fields(Bundle)} - BESIDE
    if description.keys() | OPTIONAL != known:
        odd = sorted((description.keys() | OPTIONAL) ^ known)
        keys = f"has keys {sorted(description)}, expected {sorted(known)}"
        raise VitError(f"{file} {keys}: {odd} are missing or unknown")
    for name, value in description.items():
        expected = list if name in ARRAYS else dict
        if not isinstance(value, expected):
            raise VitError(f"{file}: {name} is {value!r}, expected a JSON {JSON_NAMES[expected]}")
    return description


def current_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names that parameters have now."""
    for old, new in RENAMED.items():
        weights = {
            new + name.removeprefix(old) if name.startswith(old) else name: tensor
            for name, tensor in weights.items()
        }
    return weights


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle.

    Raises:
        VitError: A file is missing or broken, or has another format.
    """
    description = read_description(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise VitError(f"{folder / WEIGHTS} cannot be read ({error}): the bundle is incomplete") from None
    weights = current_names(weights)
    tokenizer = folder / TOKENIZER
    text = tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else None
    return Bundle(weights=weights, tokenizer=text, **description)
