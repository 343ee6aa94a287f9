"""Either tower, and saying which of them is needed."""

from typing import Any

from vit.errors import VitError
from vit.text import TextTransformer
from vit.vision import VisionTransformer

Tower = VisionTransformer | TextTransformer


def require_pictures(model: Any, what: str) -> VisionTransformer:
    """The model, if it reads pictures.

    Raises:
        VitError: It reads texts, and `what` is of pictures.
    """
    if isinstance(model, TextTransformer):
        raise VitError(f"{what} is of pictures, and this model reads texts")
    return model
