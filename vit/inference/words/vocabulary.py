"""Language models: their classes are the ids of a vocabulary, which have names too."""

from typing import Any, Protocol

from vit.errors import UsageError
from vit.text import Pieces, Tokenizer
from vit.text.matching import predicts_next


class Names(Protocol):
    """The names of classes, by index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> str: ...


class Vocabulary:
    """The names of all ids of a tokenizer, as `token_name` gives them.

    Args:
        tokenizer: A `vit.text.Tokenizer`.
        size: Number of ids that the model has; those that the tokenizer lacks are called by their number.
    """

    def __init__(self, tokenizer: Tokenizer, size: int):
        self.tokenizer, self.size = tokenizer, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int, /) -> str:
        return token_name(self.tokenizer, index)


def token_name(tokenizer: Tokenizer, index: int) -> str:
    """The text of a token without white space; where nothing is left, what the vocabulary calls it."""
    text = tokenizer.decode([index]).strip()
    return text or tokenizer.name_of(index) or str(index)


def class_names(model: Any) -> Names:
    """The names of a model's classes; of a language model, those of the tokens. Empty if unknown."""
    if predicts_next(model) and model.preprocess is not None:
        return Vocabulary(model.preprocess, model.head.out_features)
    names: Names = model.labels
    return names


def token_index(model: Any, word: str) -> int:
    """The id of a word that a language model may say next: after a space, as most words are, or without.

    Raises:
        UsageError: It is none of the vocabulary's tokens, or several.
    """
    tokenizer = model.preprocess
    found = [_own_ids(tokenizer.pieces(text)) for text in (f" {word}", word)]
    found = [ids for ids in found if tokenizer.decode(ids).strip().lower() == word.strip().lower()]
    for ids in found:
        if len(ids) == 1:
            return ids[0]
    if (named := tokenizer.id_of(word)) is not None:  # a special token by its name
        return int(named)
    if found:
        few = min(found, key=len)
        names = ", ".join(token_name(tokenizer, index) for index in few)
        raise UsageError(f"target is {word!r}, which is {len(few)} tokens of this model: give one of {names}")
    raise UsageError(f"target is {word!r}, which the model's vocabulary lacks: give one of its tokens")


def _own_ids(pieces: Pieces) -> list[int]:
    """The ids of a text without the special tokens around it."""
    return [index for index, word in zip(pieces.ids, pieces.words, strict=True) if word is not None]


def next_token(model: Any, target: Any) -> Any:
    """A target of `vit.attend`: of a language model, a word as its id; others unchanged."""
    return token_index(model, target) if isinstance(target, str) and predicts_next(model) else target
