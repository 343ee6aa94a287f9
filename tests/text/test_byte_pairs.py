"""The tokenizer of a language model: nothing is lost, and the same texts give the same one."""

import pytest

from vit.errors import VitError
from vit.text.byte_pairs import BEGIN, END, SMALLEST, train_byte_pairs

TEXTS = ["the cat sat on the mat", "The dog sat, too .", "a catapult"] * 3
STRANGE = [
    "the cat", " the  cat\t", "Ünïcode 猫 🐈\u200d⬛", "\x00\x7f", "a\r\nb\n", "SEEN <no>", "e\u0301",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE)
def test_every_text_comes_back(text: str) -> None:
    tokenizer = train_byte_pairs(TEXTS, vocabulary=290, length=100)
    ids = tokenizer(text).tolist()
    assert ids[0] == tokenizer.id_of(BEGIN)
    assert tokenizer.id_of(END) not in ids
    assert tokenizer.id_of("[UNK]") not in ids
    assert tokenizer.decode(ids) == text


def test_it_learns_pairs_up_to_its_size_and_is_reproducible() -> None:
    small, large = (train_byte_pairs(TEXTS, vocabulary=size, length=50) for size in (SMALLEST, 280))
    assert (small.vocabulary, large.vocabulary) == (SMALLEST, 280)
    assert len(large("the cat sat")) < len(small("the cat sat")) == 12
    assert train_byte_pairs(iter(TEXTS), vocabulary=280, length=50).definition == large.definition
    assert large("the cat").tolist()[2:] == large("sat cat").tolist()[-1:], "a word keeps its space"


def test_case_is_folded_where_it_is_asked_for() -> None:
    tokenizer = train_byte_pairs(TEXTS, vocabulary=290, length=50, lowercase=True)
    assert tokenizer.decode(tokenizer("The ÉTÉ 한국").tolist()) == "the ete 한국"


def test_a_vocabulary_that_cannot_hold_all_bytes_is_refused() -> None:
    with pytest.raises(VitError, match="the vocabulary is 259, expected at least 260"):
        train_byte_pairs(TEXTS, vocabulary=259, length=50)
