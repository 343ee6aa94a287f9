"""The one place where config becomes objects, and a MODEL word becomes a model."""

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
