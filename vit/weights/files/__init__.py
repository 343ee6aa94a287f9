"""Files of weights in the forms that training code writes, read with the architecture of a timm model."""

from vit.weights.files.model import ENDINGS, model_from_file

__all__ = ["ENDINGS", "model_from_file"]
