"""The text tower: ids -> tokens -> core -> head. It imports `vit.core` alone."""

from vit.text.tokenizer import Pair, Pieces, Tokenizer, padded, train_tokenizer
from vit.text.tower import TextTransformer

__all__ = ["Pair", "Pieces", "TextTransformer", "Tokenizer", "padded", "train_tokenizer"]
