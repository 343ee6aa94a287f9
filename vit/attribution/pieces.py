"""Merging word pieces to words: attention to a word is summed, attention from it averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_pieces(piece_words: Sequence[int | None]) -> Tensor:
    """The merged word of each token, numbered in reading order.

    Args:
        piece_words: The word of each of N tokens, or None for a special token, which is a word of its own.
            The pieces of a word are adjacent.

    Returns:
        int64 (N,), rising from 0.
    """
    previous: int | None = None
    word_ids: list[int] = []
    for word in piece_words:
        new = word is None or word != previous
        word_ids.append((word_ids[-1] if word_ids else -1) + new)
        previous = word
    return torch.tensor(word_ids, dtype=torch.int64)


def sum_by_word(values: Tensor, word_ids: Tensor) -> Tensor:
    """(..., N) over tokens -> (..., W) over words, each the sum of its pieces.

    Args:
        values: (..., N)
        word_ids: int64 (N,), from `merge_pieces`.
    """
    count = int(word_ids.max()) + 1 if len(word_ids) else 0
    merged = values.new_zeros(*values.shape[:-1], count)
    return merged.index_add_(-1, word_ids.to(values.device), values)


def in_words(weights: Tensor, word_ids: Tensor) -> Tensor:
    """Attention between tokens (..., N, N) -> between words (..., W, W); rows that sum to 1 still do.

    Attention to a word is the sum over its pieces, attention from it the mean over its pieces (Clark et al.
    2019, "What does BERT look at?", section 4.1).

    Args:
        weights: (..., N, N), rows from, columns to.
        word_ids: int64 (N,), from `merge_pieces`.
    """
    pieces = torch.bincount(word_ids).to(weights)
    to_words = sum_by_word(weights, word_ids)  # (..., N, W)
    return (sum_by_word(to_words.transpose(-2, -1), word_ids) / pieces).transpose(-2, -1)
