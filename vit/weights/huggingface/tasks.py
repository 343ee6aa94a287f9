"""The task of a transformers model: its head and its labels."""

from typing import Any

from torch import nn

from vit.text import TextTransformer
from vit.vision import VisionTransformer


def label_names(config: dict[str, Any], model: VisionTransformer | TextTransformer) -> list[str]:
    """Class names, where the model has a head; `LABEL_0`, ... where the config has none."""
    if not isinstance(model.head, nn.Linear):
        return []
    names = {int(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    return [names.get(index, f"LABEL_{index}") for index in range(model.head.out_features)]
