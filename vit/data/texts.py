"""Labelled texts: as they were read, and as batches of padded token ids."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import torch
from torch import Tensor

from vit.data.images import Batch


@dataclass
class RawTexts:
    """Labelled texts as they were read.

    Args:
        texts: n strings.
        targets: int64 (n,), the class of each; with several labels float32 (n, classes): 1 has the label, 0
            has it not, NaN is unknown.
        names: FILE:LINE of each, or FILE where a file is one text.
        digests: SHA-256 of each text as UTF-8, without white space at its ends, in hexadecimal; computed if
            they are not given.
    """

    texts: list[str]
    targets: Tensor
    names: list[str]
    digests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.digests:
            self.digests = [text_digest(text) for text in self.texts]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, indices: list[int] | Tensor) -> "RawTexts":
        """The texts at `indices`, numbered from 0."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        texts, names, digests = (
            [items[i] for i in indices.tolist()] for items in (self.texts, self.names, self.digests)
        )
        return RawTexts(texts, self.targets[indices], names, digests)

    def joined(self, other: "RawTexts") -> "RawTexts":
        """These texts, followed by the others."""
        return RawTexts(
            self.texts + other.texts,
            torch.cat([self.targets, other.targets]),
            self.names + other.names,
            self.digests + other.digests,
        )


def text_digest(text: str) -> str:
    """SHA-256 of a text as UTF-8; white space, case and the form of characters (NFKC) do not matter."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


class TokenizedTexts:
    """Labelled texts as token ids, in memory, with the interface of `vit.data.images.Images`.

    Args:
        raw: n texts.
        ids: n texts as int64 (N,) each.
        padding: The id that fills a batch's shorter texts, on the right.
    """

    def __init__(self, raw: RawTexts, ids: Sequence[Tensor], padding: int):
        self.texts, self.targets, self.names, self.digests = raw.texts, raw.targets, raw.names, raw.digests
        self.ids = list(ids)
        self.padding = padding

    @property
    def lengths(self) -> Tensor:
        """Tokens of each text, int64 (n,)."""
        return torch.tensor([len(ids) for ids in self.ids])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Ids int64 (B, N), targets (B,) or (B, classes), and the indices themselves."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        ids = torch.nn.utils.rnn.pad_sequence(
            [self.ids[i] for i in indices.tolist()], batch_first=True, padding_value=self.padding
        )
        return ids, self.targets[indices], indices
