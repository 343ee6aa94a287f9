"""The one place where config becomes objects, and a MODEL word becomes a model.

What belongs to a training run is imported when it is first used: it brings Lightning, which takes two
seconds, and a model that predicts needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vit.build.data import load_data, match_channels, named_data, preprocess_for, read_sentences, tokenised
from vit.build.models import (
    SHIPPED,
    best_device,
    describe,
    fingerprint,
    from_bundle,
    half_precision,
    is_bundled,
    load_model,
    make_tower,
    open_bundle,
    precision,
    shipped_models,
)
from vit.build.others import PACKAGED

if TYPE_CHECKING:
    from vit.build.runs import Run, architecture, as_it_is, overlays, picture_classifier, prepare, untrained

__all__ = [
    "PACKAGED",
    "SHIPPED",
    "Run",
    "architecture",
    "as_it_is",
    "best_device",
    "describe",
    "fingerprint",
    "from_bundle",
    "half_precision",
    "is_bundled",
    "load_data",
    "load_model",
    "make_tower",
    "match_channels",
    "named_data",
    "open_bundle",
    "overlays",
    "picture_classifier",
    "precision",
    "prepare",
    "preprocess_for",
    "read_sentences",
    "shipped_models",
    "tokenised",
    "untrained",
]

_OF_RUNS = ("Run", "architecture", "as_it_is", "overlays", "picture_classifier", "prepare", "untrained")


def __getattr__(name: str) -> Any:
    if name not in _OF_RUNS:
        raise AttributeError(f"module 'vit.build' has no attribute {name!r}")
    return getattr(import_module("vit.build.runs"), name)
