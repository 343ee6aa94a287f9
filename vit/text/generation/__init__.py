"""Texts from a causal model or an encoder-decoder, a token at a time.

`generate` is the method of the models; `stream` gives a text in pieces as it comes; `generate_ids` works on
ids.
"""

from vit.text.generation.ids import generate_ids
from vit.text.generation.sampling import Sampling
from vit.text.generation.texts import generate, stream

__all__ = ["Sampling", "generate", "generate_ids", "stream"]
