"""Models of transformers: names of tensors, towers, heads, processors, sentence models, folders."""

from vit.weights.huggingface.importer import from_huggingface

__all__ = ["from_huggingface"]
