"""The text tower: ids -> tokens -> core -> head. It imports `vit.core` alone."""

from vit.text.tokenizer import Pieces, Tokenizer, padded, train_tokenizer
from vit.text.tower import TextTransformer

__all__ = ["Pieces", "TextTransformer", "Tokenizer", "padded", "train_tokenizer"]
