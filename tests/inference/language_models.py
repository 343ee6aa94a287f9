"""Small language models with tokenizers: causal and encoder-decoders. Shared by the tests."""

import json

import torch
from torch import nn

from vit.text import TextTransformer, Tokenizer, train_tokenizer
from vit.text.seq2seq import EncoderDecoder

from ..towers import block_spec

TEXT = "The cat sat on the mat because it was tired, and"  # twelve words with the comma
LENGTH = 60


def tokenizer(*, marks: bool) -> Tokenizer:
    """Byte pairs; with `marks` a text stands between [CLS] and [SEP]."""
    texts = [f"{TEXT} the dog barked unbelievably loudly"] * 3
    found = train_tokenizer(texts, vocabulary=90, length=LENGTH)
    definition = json.loads(found.definition)
    if not marks:
        definition["post_processor"] = None
    return Tokenizer(json.dumps(definition), LENGTH)


def sharpen(model: nn.Module) -> None:
    """Attention and head that tell words apart."""
    for name, parameter in model.named_parameters():
        if "query" in name or "head" in name:
            nn.init.normal_(parameter, std=0.4)


def causal_model(*, marks: bool = False) -> TextTransformer:
    words = tokenizer(marks=marks)
    torch.manual_seed(3)
    model = TextTransformer(
        words.vocabulary,
        words.vocabulary,
        block_spec(24, 2),
        length=LENGTH,
        depth=3,
        causal=True,
        pool="last",
        encoder_norm=True,
    ).eval()
    sharpen(model)
    model.use_tokenizer(words)
    return model


def encoder_decoder(depth: int = 2, decoder_depth: int = 3) -> EncoderDecoder:
    words = tokenizer(marks=True)
    torch.manual_seed(5)
    model = EncoderDecoder(
        words.vocabulary,
        block_spec(24, 2, norm_kind="rms"),
        depth=depth,
        decoder_depth=decoder_depth,
        length=LENGTH,
        positions="none",
        relative={"kind": "buckets"},
        head="own",
    ).eval()
    sharpen(model)
    model.use_tokenizer(words)
    return model
