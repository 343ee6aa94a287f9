"""A local folder in timm's format: `config.json` with `architecture`, and a file of weights."""

import json
from pathlib import Path
from typing import Any

import timm

from vit.errors import VitError, one_line_message
from vit.vision import VisionTransformer
from vit.weights.on_disk import digest, refuse_pointer
from vit.weights.timm.source import LOCAL, import_timm, require_followed, source_of
from vit.weights.timm.tower import converted

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")  # the first one counts


def folder_model(folder: Path, word: str) -> VisionTransformer:
    """The model in a folder, as `timm.models.save_for_hf` and `push_to_hf_hub` write it.

    Args:
        folder: With `config.json` and one of `WEIGHTS`.
        word: What the user asked for.

    Raises:
        VitError: A file is missing, damaged or of another format, weights and architecture do not fit each
            other, or vit cannot reproduce the model.
    """
    _require_config(folder)
    weights = _weights_file(folder)
    refuse_pointer(weights)
    try:
        model: Any = timm.create_model(f"{LOCAL}{folder}")
    except Exception as error:  # whatever an architecture raises about its arguments
        raise VitError(f"{folder / CONFIG}: timm cannot make the model: {one_line_message(error)}") from None
    config = require_followed(model, word)
    _load(model, weights)
    return import_timm(model, source_of(word, config) | {"sha256": digest([weights])})


def _require_config(folder: Path) -> None:
    """Refuse a folder whose `config.json` is not timm's."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = one_line_message(error)
        raise VitError(
            f"{file} cannot be read ({reason}): timm's folders have it, beside {WEIGHTS[0]}"
        ) from None
    config = config if isinstance(config, dict) else {}
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        way_out = f"; hf:{folder} reads transformers' folders" if "model_type" in config else ""
        way_out = f"; a bundle is named without timm: {folder}" if "format" in config else way_out
        raise VitError(f"{file} has no architecture, which timm's folders name{way_out}")
    if not timm.is_model(architecture):
        raise VitError(
            f"{file} has architecture {architecture!r}, which timm {timm.__version__} does not know"
        )


def _weights_file(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise VitError(f"{folder} has no weights, expected one of {', '.join(WEIGHTS)} beside {CONFIG}")


def _load(model: Any, file: Path) -> None:
    """Load every tensor; a pickle is read with `weights_only`."""
    try:
        state = converted(timm.models.load_state_dict(str(file)), model)
    except Exception as error:  # a damaged file makes its readers raise whatever it makes them raise
        raise VitError(f"{file} cannot be read: {one_line_message(error)}") from None
    try:
        missing, left = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise VitError(f"{file} and {CONFIG} do not fit each other: {one_line_message(error)}") from None
    differences = [
        f"{kind} {_few(names)}" for kind, names in (("lacks", missing), ("also has", left)) if names
    ]
    if differences:
        raise VitError(f"{file} and {CONFIG} do not fit each other: the file {' and '.join(differences)}")


def _few(names: list[str]) -> str:
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest} more" if rest > 0 else "")
