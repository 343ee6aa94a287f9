"""Models of timm: the importer, and the models that a word names."""

from vit.weights.timm.importer import from_timm

__all__ = ["from_timm"]
