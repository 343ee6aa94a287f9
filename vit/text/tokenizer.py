"""From a text to ids, by Hugging Face's `tokenizers`: one trained here, or a model's own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.errors import VitError

END = "<|endoftext|>"  # of GPT-2, whose tokenizer has no other special token
PADDING = ("[PAD]", "<pad>", END)
MASKS = ("[MASK]", "<mask>", "[UNK]", "<unk>", END)  # ids that can replace a token, in order of preference

SIDES = ("right", "left")
USUAL = {"prompt": "", "truncation": "right"}  # what a bundle leaves out


class Pieces(NamedTuple):
    """A text as its model reads it, N tokens.

    Args:
        ids: N ids.
        tokens: N strings as in the text, stripped; special tokens by their name.
        spans: N offsets in `text`, (start, stop); (0, 0) for special tokens.
        words: The word of each token, counted from 0; None for a special token. One that the text itself
            spells out (`[PAD]`) is a word of it.
        total: Number of tokens of the whole text; more than N where it was truncated.
        text: What was read: the text after the tokenizer's prompt.
    """

    ids: list[int]
    tokens: list[str]
    spans: list[tuple[int, int]]
    words: list[int | None]
    total: int
    text: str


class Pair(NamedTuple):
    """Two texts as a model of pairs reads them, N tokens.

    Args:
        ids: int64 (N,).
        segments: int64 (N,), of each token; all 0 where a tokenizer tells texts apart by its special tokens
            alone (RoBERTa), whose models may have no segments.
    """

    ids: Tensor
    segments: Tensor


class Tokenizer:
    """Text to ids.

    Args:
        definition: The content of a `tokenizer.json`. Its padding and truncation settings are ignored.
        length: Longest result in tokens, special ones included; longer texts are truncated.
        prompt: Put before each text, as a sentence model may ask for.
        truncation: The side at which longer texts are cut: `right`, their end, or `left`.

    Attributes:
        vocabulary: Number of ids.
        padding: The id of padding.
        blank: The id that replaces a token: of the mask, else of an unknown word.

    Raises:
        VitError: The library `tokenizers` is missing, the definition is broken, or it has no padding token.
    """

    def __init__(self, definition: str, length: int, *, prompt: str = "", truncation: str = "right"):
        self.definition = definition
        self.length = length
        self.prompt, self.truncation = valid(prompt), truncation
        try:
            self._tokenizer = tokenizers_library().Tokenizer.from_str(definition)
        except Exception as error:  # the library raises bare exceptions
            raise VitError(f"the tokenizer cannot be read: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        extra = self._tokenizer.num_special_tokens_to_add(False)
        if length <= extra:
            raise VitError(f"length is {length} tokens, expected more than the {extra} special ones")
        if truncation not in SIDES:
            raise VitError(f"truncation is {truncation!r}, expected one of: {', '.join(SIDES)}")
        self._tokenizer.enable_truncation(length, direction=truncation)
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self.padding = self._id(PADDING)
        self.blank = self._id(MASKS)

    def __call__(self, text: str) -> Tensor:
        """One text -> its ids, int64 (N,).

        Raises:
            VitError: It is not valid Unicode (a lone surrogate).
        """
        return torch.tensor(self._tokenizer.encode(self.prompt + valid(text)).ids, dtype=torch.int64)

    def pair(self, first: str, second: str) -> Pair:
        """Two texts -> one row of ids and segments: `model(ids[None], segments=segments[None])`.

        A prompt stands before the first. The longer of both is cut first where they are too long together.

        Raises:
            VitError: One is not valid Unicode, or `length` has no room for the special tokens of a pair.
        """
        extra = self._tokenizer.num_special_tokens_to_add(True)
        if self.length <= extra:
            raise VitError(
                f"length is {self.length} tokens, expected more than the {extra} special ones of a pair"
            )
        found = self._tokenizer.encode(self.prompt + valid(first), valid(second))
        return Pair(*(torch.tensor(row, dtype=torch.int64) for row in (found.ids, found.type_ids)))

    def batch(self, texts: Sequence[str]) -> Tensor:
        """Texts -> ids, int64 (B, N), each row padded on the right to the longest."""
        found = self._tokenizer.encode_batch([self.prompt + valid(text) for text in texts])
        return padded([torch.tensor(each.ids, dtype=torch.int64) for each in found], self.padding)

    def pieces(self, text: str) -> Pieces:
        """One text with the string, offsets and word of each token."""
        text = self.prompt + valid(text)
        found = self._tokenizer.encode(text)
        special = [bool(mark) for mark in found.special_tokens_mask]
        tokens, end = [], 0
        for name, (start, stop), mark in zip(found.tokens, found.offsets, special, strict=True):
            # A marker of a word's start has the same offsets as the piece after it.
            tokens.append(name if mark else text[max(start, end) : stop].strip())
            end = max(end, stop)
        words = [None if mark else word for word, mark in zip(found.word_ids, special, strict=True)]
        marks = sum(special)
        total = len(found) + sum(len(rest) - marks for rest in found.overflowing)
        return Pieces(found.ids, tokens, found.offsets, words, total, text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens; U+FFFD for a part of a character."""
        return self._tokenizer.decode(list(ids))

    def name_of(self, index: int) -> str:
        """What the vocabulary calls an id; empty where it has no such id."""
        return self._tokenizer.id_to_token(index) or ""

    def id_of(self, name: str) -> int | None:
        """The id that the vocabulary calls so; None where it has no such name."""
        found: int | None = self._tokenizer.token_to_id(name)
        return found

    def cut(self, length: int) -> "Tokenizer":
        """The same tokenizer with another `length`."""
        return Tokenizer(self.definition, length, **self._reading())

    @classmethod
    def from_dict(cls, definition: str, fields: Mapping[str, Any]) -> "Tokenizer":
        """From what a bundle stores: the definition, and `to_dict`, of this or an earlier version.

        Raises:
            VitError: A field is missing or unknown; or as the constructor.
        """
        rest = {name: value for name, value in fields.items() if name != "kind"}
        if "length" not in rest or rest.keys() - {"length", *USUAL}:
            raise VitError(
                f"the tokenizer has the fields {', '.join(rest) or 'none'}, expected length, and perhaps "
                f"{', '.join(USUAL)}"
            )
        return cls(definition, **rest)

    def to_dict(self) -> dict[str, Any]:
        """What a bundle stores besides the definition; prompt and truncation where they are not usual."""
        return {"kind": "text", "length": self.length} | self._reading()

    def largest_id(self) -> int:
        """The largest id that a text can have."""
        return max(self._tokenizer.get_vocab().values())

    def segments(self) -> set[int]:
        """The segments (token types) that the tokens of one text belong to."""
        return set(self._tokenizer.encode("a").type_ids)

    def _reading(self) -> dict[str, str]:
        """Prompt and truncation, where they are not the usual ones."""
        return {name: getattr(self, name) for name, usual in USUAL.items() if getattr(self, name) != usual}

    def _id(self, names: Sequence[str]) -> int:
        for name in names:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return found
        raise VitError(f"the tokenizer has none of {', '.join(names)}: one is needed")

    def __repr__(self) -> str:
        rest = "".join(f", {name}={value!r}" for name, value in self._reading().items())
        return f"Tokenizer(vocabulary={self.vocabulary}, length={self.length}{rest})"


def train_tokenizer(
    texts: Iterable[str], *, vocabulary: int, length: int, lowercase: bool = True, pieces: str = "bpe"
) -> Tokenizer:
    """A tokenizer trained on these texts; words and punctuation are split first.

    The same texts give the same tokenizer, which the library's WordPiece trainer does not guarantee.

    Args:
        texts: Of the training split only.
        vocabulary: Largest number of ids; fewer where the texts have fewer pieces that occur twice.
        length: As in `Tokenizer`.
        lowercase: Fold case, and strip accents.
        pieces: `bpe`: byte pair encoding (Sennrich et al. 2016). `words`: whole words; a word that occurs
            once is unknown, `[UNK]`, which also replaces masked tokens, so its embedding is trained.

    Raises:
        ValueError: Unknown `pieces`.
    """
    library = tokenizers_library()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    options = {
        "vocab_size": vocabulary, "min_frequency": 2, "special_tokens": special, "show_progress": False
    }  # fmt: skip
    apart = library.pre_tokenizers.BertPreTokenizer()
    if pieces == "words":
        tokenizer = library.Tokenizer(library.models.WordLevel(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = apart
        trainer = library.trainers.WordLevelTrainer(**options)
    elif pieces == "bpe":
        tokenizer = library.Tokenizer(library.models.BPE(unk_token="[UNK]"))
        marked = library.pre_tokenizers.Metaspace(split=False)
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence([apart, marked])
        tokenizer.decoder = library.decoders.Metaspace()
        trainer = library.trainers.BpeTrainer(**options)
    else:
        raise ValueError(f"pieces are {pieces!r}, expected 'bpe' or 'words'")
    tokenizer.normalizer = library.normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.train_from_iterator(map(valid, texts), trainer)
    marks = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = library.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    return Tokenizer(tokenizer.to_str(), length)


def padded(rows: Sequence[Tensor], padding: int) -> Tensor:
    """Rows of ids -> int64 (B, N), each padded on the right to the longest."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)


def valid(text: str) -> str:
    """The text itself.

    Raises:
        VitError: It has a lone surrogate, which no encoding can represent.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        odd = ord(text[error.start])
        raise VitError(
            f"the text has a lone surrogate, U+{odd:04X}, as character {error.start + 1}: it is not valid "
            "Unicode; fix its encoding"
        ) from None
    return text


def tokenizers_library() -> Any:
    """The library `tokenizers`.

    Raises:
        VitError: It is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise VitError("texts need the library tokenizers: pip install 'vit[text]'") from None
    return tokenizers
