"""Models of timm: the importer, and the models that a word names."""

from vit.weights.timm.importer import from_timm
from vit.weights.timm.source import import_timm, timm_architecture, timm_model

__all__ = ["from_timm", "import_timm", "timm_architecture", "timm_model"]
