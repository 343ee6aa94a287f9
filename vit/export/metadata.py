"""What a file says about its model: labels, preprocessing, and which vit wrote it."""

import json
from importlib.metadata import version
from typing import Any

from vit.export.prepare import Prepared

OF_PICTURES = "uint8, RGB, (batch, height, width, 3), any size, upright: EXIF orientation is not applied"
OF_TEXTS = "int64, (batch, tokens): ids of tokenizer.json, and 1 for a token, 0 for padding"


def describe(prepared: Prepared, facts: dict[str, Any]) -> dict[str, str]:
    """Name to text; what is not a text is JSON. The model's name is left out: it may be a path.

    Args:
        prepared: What is written.
        facts: What was measured, by name.
    """
    model = prepared.model
    preprocess = None if model.preprocess is None else model.preprocess.to_dict()
    said: dict[str, Any] = {
        "vit": version("vit"),
        "input": _input(prepared),
        "output": prepared.output,
        "labels": model.labels,
        "thresholds": model.thresholds,
        "preprocess": preprocess,
        "license": model.source.get("license"),
        **facts,
    }
    return {name: _text(value) for name, value in said.items() if value not in (None, [], "")}


def _input(prepared: Prepared) -> str:
    """The tensors that the file takes."""
    model = prepared.model
    if prepared.reads == "pictures":
        return OF_PICTURES
    if prepared.reads == "text":
        return f"{OF_TEXTS}; at most {model.length} tokens"
    height, width = prepared.sizes[0]
    rest = "" if len(prepared.sizes) == 1 else f", or other multiples of {model.patch_size}"
    return f"float32, normalised, (batch, {model.channels}, height, width), {height} x {width} pixels{rest}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
