"""What a language model is given of a text, whatever its tokenizer puts around it."""

import pytest
import tokenizers
import torch

from vit.data.texts import RawTexts
from vit.errors import VitError
from vit.recipes.data import next_tokens
from vit.text import Tokenizer, train_tokenizer
from vit.text.byte_pairs import END, train_byte_pairs

TEXTS = ["the cat", "a dog and the cat"] * 2
RAW = RawTexts(TEXTS, torch.zeros(4).long(), ["x"] * 4)


def plain(length: int) -> Tokenizer:
    """One that puts nothing around a text, as that of GPT-2."""
    definition = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[PAD]": 0, "a": 1, "the": 2, "[UNK]": 3}, "[UNK]")
    )
    definition.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return Tokenizer(definition.to_str(), length)


def test_a_text_begins_and_ends_once() -> None:
    ours = train_byte_pairs(TEXTS, vocabulary=270, length=3)
    end = ours.id_of(END) or -1
    bert = train_tokenizer(TEXTS, vocabulary=100, length=4, pieces="words")
    separator = bert.id_of("[SEP]") or -1
    for tokenizer, stop, begin in (
        (ours, end, ours.id_of("[BOS]")), (bert, separator, bert.id_of("[CLS]")), (plain(3), 7, 7),
    ):  # fmt: skip
        found = next_tokens(RAW, tokenizer, [stop, 9], 50)
        whole = [tokenizer.cut(100)(text).tolist() for text in TEXTS]
        bare = [[i for i in ids if i not in (stop, begin)] for ids in whole]
        assert [window.tolist() for window in found.windows] == [[begin, *ids, stop] for ids in bare]


def test_a_text_is_not_truncated() -> None:
    found = next_tokens(RAW, plain(3), [7], 3)
    assert found.tokens.tolist() == [3, 6, 3, 6]
    assert found.text_of.tolist() == [0, 1, 1, 2, 3, 3]


def test_a_model_without_an_end_is_refused() -> None:
    with pytest.raises(VitError, match="does not say which token ends a text"):
        next_tokens(RAW, plain(3), [], 3)
