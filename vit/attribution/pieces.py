"""Word pieces merged to words: what goes to a word is summed, what comes from it is meaned."""

from collections.abc import Sequence

import torch
from torch import Tensor


def words_of(words: Sequence[int | None]) -> Tensor:
    """Which merged word each token belongs to, in reading order.

    Args:
        words: For each of N tokens the word that it is a piece of, or None for a special token, which stays
            a word of its own. Pieces of a word stand side by side.

    Returns:
        int64 (N,), rising from 0.
    """
    before: int | None = None
    places: list[int] = []
    for word in words:
        new = word is None or word != before
        places.append((places[-1] if places else -1) + new)
        before = word
    return torch.tensor(places, dtype=torch.int64)


def sum_by_word(values: Tensor, places: Tensor) -> Tensor:
    """(..., N) over tokens -> (..., W) over words, each the sum of its pieces.

    Args:
        values: (..., N)
        places: int64 (N,), from `words_of`.
    """
    count = int(places.max()) + 1 if len(places) else 0
    merged = values.new_zeros(*values.shape[:-1], count)
    return merged.index_add_(-1, places.to(values.device), values)


def in_words(weights: Tensor, places: Tensor) -> Tensor:
    """Attention between tokens (..., N, N) -> between words (..., W, W); rows that sum to 1 still do.

    Attention to a word is the sum over its pieces, attention from it the mean over its pieces (Clark et al.
    2019, "What does BERT look at?", section 4.1).

    Args:
        weights: (..., N, N), rows from, columns to.
        places: int64 (N,), from `words_of`.
    """
    pieces = torch.bincount(places).to(weights)
    arrived = sum_by_word(weights, places)  # (..., N, W)
    return (sum_by_word(arrived.transpose(-2, -1), places) / pieces).transpose(-2, -1)
