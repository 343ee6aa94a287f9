"""Weights at rest: the bundle (safetensors + JSON) and the importers that copy other libraries' models."""

from vit.bundle import Bundle, read_bundle, write_bundle
from vit.weights.huggingface import from_huggingface
from vit.weights.timm import from_timm

__all__ = ["Bundle", "from_huggingface", "from_timm", "read_bundle", "write_bundle"]
