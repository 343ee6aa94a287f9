"""Small language models with random weights, and tokenizers, as transformers makes them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["the cat sat on the mat .", "a dog ate the cake", "Zoë naïve 猫 😀 sat"]


def made(kind: str, config: Any, *, dtype: torch.dtype = torch.float32) -> Any:
    """A model of that class whose every parameter is random, in eval mode."""
    torch.manual_seed(5)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval().to(dtype)


def batch(lengths: tuple[int, ...], vocabulary: int, *, left: bool, padding: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, (B, N) each; rows have no id of padding among their tokens."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, vocabulary - 1, (len(lengths), max(lengths)), generator=generator)
    ids = ids + (ids >= padding)  # every id but that of padding
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    mask = mask.flip(1) if left else mask
    return ids.masked_fill(~mask, padding), mask


def counted(mask: Tensor) -> Tensor:
    """Position ids as transformers counts them where it generates."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def byte_tokenizer() -> Any:
    """GPT-2's kind, of 256 bytes and a few merges."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("Ġ", "th"), ("th", "e"), ("Ġth", "e"), ("a", "t")]
    pieces = [*letters, *("".join(pair) for pair in merges), "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return transformers.GPT2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=1000)


def unigram_tokenizer() -> Any:
    """T5's kind: sentencepiece's pieces, and an end after each text."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁the", -2.5), ("at", -3.0)]
    pieces += [(letter, -4.0 - index / 100) for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz.")]
    library = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=2))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    library.decoder = tokenizers.decoders.Metaspace()
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=library,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=100,
    )


def saved(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
