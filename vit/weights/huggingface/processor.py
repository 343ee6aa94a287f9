"""The preprocessing in a folder's `preprocessor_config.json`."""

from typing import Any

from vit.data.preprocess import Preprocess
from vit.vision import VisionTransformer

# Pillow's numbers for its filters, as preprocessor_config.json has them.
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


def preprocess_of(model: VisionTransformer, said: dict[str, Any]) -> Preprocess:
    """The preprocessing in a folder's `preprocessor_config.json`."""
    size = said.get("crop_size") or said.get("size") or {}
    if isinstance(size, int):
        size = {"height": size, "width": size}
    height, width = size.get("height", model.image_size[0]), size.get("width", model.image_size[1])
    whole = said.get("size")
    shortest = whole.get("shortest_edge") if isinstance(whole, dict) else None
    return Preprocess(
        height,
        width,
        model.channels,
        tuple(said.get("image_mean", [0.5] * model.channels)),
        tuple(said.get("image_std", [0.5] * model.channels)),
        crop=1.0 if shortest is None else min(height / shortest, 1.0),
        interpolation=RESAMPLE[said.get("resample", 3)],
    )
