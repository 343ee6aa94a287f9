"""Labelled texts: as they were read, and as batches of padded token ids."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vit.data.images import Batch


class RawTexts(NamedTuple):
    """Labelled texts as they were read.

    Args:
        texts: n strings.
        targets: int64 (n,), the class of each.
        names: FILE:LINE of each.
    """

    texts: list[str]
    targets: Tensor
    names: list[str]

    def subset(self, indices: list[int] | Tensor) -> "RawTexts":
        """The texts at `indices`, numbered from 0."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        texts, names = ([items[i] for i in indices.tolist()] for items in (self.texts, self.names))
        return RawTexts(texts, self.targets[indices], names)


class TokenizedTexts:
    """Labelled texts as token ids, in memory, with the interface of `vit.data.images.Images`.

    Args:
        raw: n texts.
        ids: n texts as int64 (N,) each.
        padding: The id that fills a batch's shorter texts, on the right.
    """

    def __init__(self, raw: RawTexts, ids: Sequence[Tensor], padding: int):
        self.texts, self.targets, self.names = raw
        self.ids = list(ids)
        self.padding = padding

    @property
    def lengths(self) -> Tensor:
        """Tokens of each text, int64 (n,)."""
        return torch.tensor([len(ids) for ids in self.ids])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Ids int64 (B, N), classes (B,), and the indices themselves."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        ids = torch.nn.utils.rnn.pad_sequence(
            [self.ids[i] for i in indices.tolist()], batch_first=True, padding_value=self.padding
        )
        return ids, self.targets[indices], indices
