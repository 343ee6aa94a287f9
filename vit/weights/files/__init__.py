"""Files of weights in the forms that training code writes, read with the architecture of a timm model."""

from vit.weights.files.model import model_from_file
from vit.weights.files.reading import ENDINGS

__all__ = ["ENDINGS", "model_from_file"]
