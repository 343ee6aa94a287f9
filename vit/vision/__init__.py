"""The image tower: patches -> tokens -> core -> head. It imports `vit.core` alone."""

from vit.vision.patches import ConvTokenizer, PatchTokenizer
from vit.vision.tower import VisionTransformer

__all__ = ["ConvTokenizer", "PatchTokenizer", "VisionTransformer"]
