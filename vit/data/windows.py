"""Texts as a language model is trained on them: windows of ids, and the next token of each position."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vit.data.images import Batch
from vit.data.texts import RawTexts

IGNORED = -100  # the target at padding, as torch's `cross_entropy` has it


class NextTokens:
    """Texts as windows, each id a target for those before it in its window; in memory.

    A text of more than `length` ids is cut into windows of `length`, one after the other, and a last one with
    the rest. Each id but the first of a text is a target exactly once. A window that does not begin its text
    begins without the token that begins texts, at position 0, and sees nothing of the windows before it.

    Args:
        raw: n texts.
        ids: Of each text, int64 (at least 2,): the first begins it and the last ends it.
        length: Most inputs of a window, N.
        padding: The id that fills a batch's shorter windows, on the right.

    Attributes:
        text_of: int64 (windows,), the text of each window.
        tokens: int64 (n,), targets of each text: its ids without the first.
        words: int64 (n,), words of each text between white space, and 1 for its end.
        bytes: int64 (n,), bytes of each text in UTF-8, and 1 for its end.
    """

    def __init__(self, raw: RawTexts, ids: Sequence[Tensor], length: int, padding: int):
        self.texts, self.targets, self.names, self.digests = raw.texts, raw.targets, raw.names, raw.digests
        self.padding = padding
        self.windows: list[Tensor] = []
        text_of = []
        for number, text in enumerate(ids):
            windows = [text[start : start + length + 1] for start in range(0, len(text) - 1, length)]
            self.windows += windows
            text_of += [number] * len(windows)
        self.text_of = torch.tensor(text_of, dtype=torch.int64)
        self.tokens = torch.tensor([len(text) - 1 for text in ids], dtype=torch.int64)
        self.words = torch.tensor([len(text.split()) + 1 for text in raw.texts], dtype=torch.int64)
        self.bytes = torch.tensor([len(text.encode()) + 1 for text in raw.texts], dtype=torch.int64)

    @property
    def lengths(self) -> Tensor:
        """Inputs of each window, int64 (windows,)."""
        return torch.tensor([len(window) - 1 for window in self.windows])

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Ids int64 (B, N), the next id of each (B, N) or `IGNORED`, and the indices of the windows."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        chosen = [self.windows[i] for i in indices.tolist()]
        ids = pad_sequence([window[:-1] for window in chosen], batch_first=True, padding_value=self.padding)
        targets = pad_sequence([window[1:] for window in chosen], batch_first=True, padding_value=IGNORED)
        return ids, targets, indices
