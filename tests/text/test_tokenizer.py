"""Texts to ids and back to their pieces."""

import pytest
import torch

from vit.errors import VitError
from vit.text import Tokenizer, train_tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the cat", "a catalogue of mats", "Déjà vu, the mat!"] * 3


@pytest.fixture(scope="module", params=["bpe", "words"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(TEXTS, vocabulary=200, length=9, pieces=request.param)


def test_pieces_are_those_of_the_text(tokenizer: Tokenizer) -> None:
    found = tokenizer.pieces("The cat, the catalogue")
    assert found.tokens[0] == "[CLS]"
    assert (
        "".join(found.tokens[1:-1]).replace(" ", "")
        == "Thecat,thecatalogue"[: len("".join(found.tokens[1:-1]))]
    )
    assert found.words[0] is None
    assert found.words[1] == 0
    assert torch.equal(tokenizer("The cat, the catalogue"), torch.tensor(found.ids))


@pytest.mark.parametrize("pieces", ["bpe", "words"])
def test_the_same_texts_train_the_same_tokenizer(pieces: str) -> None:
    one, two = (train_tokenizer(TEXTS, vocabulary=200, length=9, pieces=pieces) for _ in range(2))
    assert one.definition == two.definition


def test_it_survives_its_own_definition(tokenizer: Tokenizer) -> None:
    again = Tokenizer(tokenizer.definition, 9)
    assert torch.equal(again("a cat sat"), tokenizer("a cat sat"))
    assert again.vocabulary == tokenizer.vocabulary


def test_a_long_text_is_cut_and_says_so(tokenizer: Tokenizer) -> None:
    found = tokenizer.pieces(" ".join(["cat"] * 10_000))
    assert len(found.ids) == 9
    assert found.total == 10_002
    assert found.tokens[-1] == "[SEP]"


def test_a_batch_is_its_singles_padded(tokenizer: Tokenizer) -> None:
    texts = ["the cat", "the cat sat on", ""]
    ids = tokenizer.batch(texts)
    for row, text in zip(ids, texts, strict=True):
        alone = tokenizer(text)
        assert torch.equal(row[: len(alone)], alone)
        assert (row[len(alone) :] == tokenizer.padding).all()


def test_case_is_kept_when_asked() -> None:
    kept = train_tokenizer(["Cat cat"] * 3, vocabulary=100, length=5, lowercase=False)
    assert not torch.equal(kept("Cat"), kept("cat"))


def test_a_word_that_comes_once_is_what_blanks_are() -> None:
    words = train_tokenizer(["the cat sat", "the cat ran"], vocabulary=100, length=9, pieces="words")
    found = words.pieces("the cat sat, flew")
    assert found.tokens == ["[CLS]", "the", "cat", "sat", ",", "flew", "[SEP]"]
    assert [token == words.blank for token in found.ids] == [False, False, False, True, True, True, False]
    with pytest.raises(ValueError, match="pieces are 'letters', expected 'bpe' or 'words'"):
        train_tokenizer(TEXTS, vocabulary=100, length=9, pieces="letters")


@pytest.mark.parametrize("text", ["", " ", "😀 emoji", "שלום עולם", "a\0b", "\u200b", "Ｆｕｌｌ", "e\u0301"])
def test_every_unicode_text_has_ids(tokenizer: Tokenizer, text: str) -> None:
    assert len(tokenizer(text)) >= 2


def test_a_lone_surrogate_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(VitError, match=r"U\+D83D, as character 3"):
        tokenizer("ab\ud83d")


def test_padding_and_truncation_of_a_definition_are_left_out(tokenizer: Tokenizer) -> None:
    library = pytest.importorskip("tokenizers")
    other = library.Tokenizer.from_str(tokenizer.definition)
    other.enable_padding(length=30)
    other.enable_truncation(4)
    assert torch.equal(Tokenizer(other.to_str(), 9)("the cat sat on"), tokenizer("the cat sat on"))


@pytest.mark.parametrize(
    ("definition", "length", "said"),
    [("{}", 9, "cannot be read"), (None, 2, "length is 2 tokens, expected more than the 2")],
)
def test_what_cannot_be_a_tokenizer(
    tokenizer: Tokenizer, definition: str | None, length: int, said: str
) -> None:
    with pytest.raises(VitError, match=said):
        Tokenizer(definition or tokenizer.definition, length)


def test_a_prompt_stands_before_each_text(tokenizer: Tokenizer) -> None:
    asked = Tokenizer(tokenizer.definition, 9, prompt="the cat ")
    assert torch.equal(asked("sat"), tokenizer("the cat sat"))
    assert torch.equal(asked.batch(["sat", ""]), tokenizer.batch(["the cat sat", "the cat "]))
    pieces = asked.pieces("sat")
    assert pieces.text == "the cat sat"
    assert [pieces.text[start:stop] for start, stop in pieces.spans][-2] == "sat"
    assert torch.equal(asked.cut(4)("sat"), tokenizer.cut(4)("the cat sat"))
    with pytest.raises(VitError, match=r"U\+D83D"):
        Tokenizer(tokenizer.definition, 9, prompt="\ud83d")


def test_a_long_text_is_cut_at_its_beginning_where_asked(tokenizer: Tokenizer) -> None:
    left = Tokenizer(tokenizer.definition, 4, truncation="left")
    assert torch.equal(left("the dog sat on the cat"), tokenizer("the cat"))
    assert left.pieces("the dog sat on the cat").total == 8
    with pytest.raises(VitError, match="truncation is 'middle', expected one of: right, left"):
        Tokenizer(tokenizer.definition, 9, truncation="middle")


def test_what_a_bundle_stores(tokenizer: Tokenizer) -> None:
    assert tokenizer.to_dict() == {"kind": "text", "length": 9}, "as earlier versions wrote it"
    assert repr(tokenizer) == f"Tokenizer(vocabulary={tokenizer.vocabulary}, length=9)"
    asked = Tokenizer(tokenizer.definition, 7, prompt="the ", truncation="left")
    for each in (tokenizer, asked):
        again = Tokenizer.from_dict(each.definition, each.to_dict())
        assert repr(again) == repr(each)
        assert torch.equal(again("dog sat on the cat and a mat"), each("dog sat on the cat and a mat"))
    for fields in ({"kind": "text"}, {"length": 9, "stride": 3}):
        with pytest.raises(VitError, match="expected length, and perhaps prompt, truncation"):
            Tokenizer.from_dict(tokenizer.definition, fields)


def test_a_special_token_that_a_text_spells_out_is_a_word(tokenizer: Tokenizer) -> None:
    found = tokenizer.pieces("the [PAD] cat[SEP]")
    assert found.tokens == ["[CLS]", "the", "[PAD]", "cat", "[SEP]", "[SEP]"]
    assert found.words == [None, 0, 1, 2, 3, None]
    assert found.ids[2] == tokenizer.padding


def test_the_largest_id(tokenizer: Tokenizer) -> None:
    assert tokenizer.largest_id() == tokenizer.vocabulary - 1
    assert tokenizer.segments() == {0}
