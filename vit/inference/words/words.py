"""Tokens as the words that a page shows: those of a text, and those that a model wrote."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.attribution.pieces import merge_pieces
from vit.errors import VitError

SPACE = "\u2581"  # what some vocabularies call a space


class Words(NamedTuple):
    """N tokens and the W words that they are merged to.

    Args:
        ids: N ids.
        word_ids: int64 (N,), the word of each, numbered in reading order.
        names: W words; special tokens by their name.
        special: W flags, True for special tokens.
    """

    ids: list[int]
    word_ids: Tensor
    names: list[str]
    special: list[bool]


def joined(one: Words, two: Words) -> Words:
    """The words of both, one after the other."""
    word_ids = torch.cat([one.word_ids, two.word_ids + len(one.names)])
    return Words(one.ids + two.ids, word_ids, one.names + two.names, one.special + two.special)


def text_words(tokenizer: Any, text: str, *, merge: bool = True, ends: Sequence[int] = ()) -> Words:
    """The words of a text.

    Args:
        tokenizer: A `vit.text.Tokenizer`.
        text: The text.
        merge: Whether word pieces are merged to words; otherwise every token is a word. Special tokens are
            words of their own.
        ends: Ids that are left out where the tokenizer puts them after a text: a model goes on with it.

    Raises:
        VitError: The text has no token: it is empty, and the tokenizer adds no special ones.
    """
    pieces = tokenizer.pieces(text)
    count = len(pieces.ids)
    if not count:
        raise VitError("the text is empty: it has no token for the model to read")
    while count > 1 and pieces.words[count - 1] is None and pieces.ids[count - 1] in ends:
        count -= 1
    parts = pieces.words[:count]
    word_ids = merge_pieces(parts) if merge else torch.arange(count)
    special = [words[0] is None for words in _by_word(parts, word_ids)]
    names = [
        tokens[0] if is_special else pieces.text[spans[0][0] : spans[-1][1]].strip()
        for spans, tokens, is_special in zip(
            _by_word(pieces.spans[:count], word_ids),
            _by_word(pieces.tokens[:count], word_ids),
            special,
            strict=True,
        )
    ]
    return Words(pieces.ids[:count], word_ids, names, special)


def written_words(
    tokenizer: Any, ids: Sequence[int], *, before: Sequence[int] = (), merge: bool = True
) -> Words:
    """The words of ids that a model wrote; the first begins a word.

    A tokenizer finds words in a text, and these ids may be others than those of their text. A token begins a
    word unless letters or digits meet where it joins the token before it.

    Args:
        tokenizer: A `vit.text.Tokenizer`.
        ids: N ids.
        before: Ids of the text that they follow.
        merge: As in `text_words`.
    """
    texts = [tokenizer.decode([*before, *ids[:count]]) for count in range(len(ids) + 1)]
    whole = texts[-1]
    ends = [_shared(text, whole) for text in texts]  # where each token's text ends, after that of `before`
    special = [not tokenizer.decode([index]) and bool(tokenizer.name_of(index).strip(SPACE)) for index in ids]
    last = [mark or _ends_word(whole, *ends[place : place + 2]) for place, mark in enumerate(special)]
    starts = [not merge or mark or not place or last[place - 1] for place, mark in enumerate(special)]
    word_ids = torch.tensor(starts, dtype=torch.int64).cumsum(0) - 1
    places = _by_word(range(len(ids)), word_ids)
    names = [
        tokenizer.name_of(ids[word[0]]) if special[word[0]] else whole[ends[word[0]] : ends[word[-1] + 1]]
        for word in places
    ]
    return Words(list(ids), word_ids, [name.strip() for name in names], [special[word[0]] for word in places])


def added_text(tokenizer: Any, before: Sequence[int], ids: Sequence[int]) -> str:
    """The text of ids after those before them, with which they begin."""
    whole: str = tokenizer.decode(ids)
    return whole[_shared(tokenizer.decode(before), whole) :].strip()


def _shared(one: str, two: str) -> int:
    """With how many characters both begin; a character that was incomplete in one is none of them."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def _ends_word(text: str, start: int, end: int) -> bool:
    """Whether a word ends with the token whose text is from `start` to `end`.

    White space belongs to the word after it, and a token without text to the character that it begins.
    """
    if not text[start:end].strip():
        return False
    return not (text[end - 1].isalnum() and text[end : end + 1].isalnum())


def _by_word(items: Iterable[Any], word_ids: Tensor) -> list[list[Any]]:
    """The items of each word's tokens."""
    words: list[list[Any]] = [[] for _ in range(int(word_ids.max()) + 1 if len(word_ids) else 0)]
    for item, word in zip(items, word_ids.tolist(), strict=True):
        words[word].append(item)
    return words
