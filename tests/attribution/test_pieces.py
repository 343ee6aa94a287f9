"""Pieces merged to words."""

import pytest
import torch

from vit.attribution.methods.occlusion import token_occlusion
from vit.attribution.pieces import in_words, merge_pieces, sum_by_word
from vit.errors import UsageError


def test_words_count_special_tokens_as_merge_pieces_their_own() -> None:
    assert merge_pieces([None, 0, 0, 1, None, None]).tolist() == [0, 1, 1, 2, 3, 4]
    assert merge_pieces([]).tolist() == []


def test_what_goes_to_a_word_is_summed_and_what_comes_from_it_meaned() -> None:
    weights = torch.rand(2, 3, 5, 5).softmax(-1)
    merged = in_words(weights, torch.tensor([0, 1, 1, 2, 2]))
    assert merged.shape == (2, 3, 3, 3)
    torch.testing.assert_close(merged.sum(-1), torch.ones(2, 3, 3))
    expected = (weights[..., 1, 3] + weights[..., 1, 4] + weights[..., 2, 3] + weights[..., 2, 4]) / 2
    torch.testing.assert_close(merged[..., 1, 2], expected)


def test_merge_pieces_one_piece_change_nothing() -> None:
    weights = torch.rand(2, 4, 4)
    torch.testing.assert_close(in_words(weights, torch.arange(4)), weights)
    torch.testing.assert_close(sum_by_word(weights, torch.arange(4)), weights)


def test_token_occlusion_finds_the_token_that_counts() -> None:
    ids = torch.tensor([[5, 7, 5, 5, 5], [5, 5, 5, 7, 5]])

    def score(variants: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (variants == 7).any(1).float() * 3

    falls = token_occlusion(ids, torch.zeros(2, dtype=torch.int64), score, blank=9, batch_size=2)
    assert falls.shape == (2, 1, 5)
    assert falls[:, 0].tolist() == [[0, 3, 0, 0, 0], [0, 0, 0, 3, 0]]
    wide = token_occlusion(ids[:1], torch.zeros(1, dtype=torch.int64), score, blank=9, window=2)
    assert wide[0, 0].tolist() == [3, 3, 1.5, 0, 0]
    with pytest.raises(UsageError, match="window is 6 tokens, expected 1 to 5"):
        token_occlusion(ids, torch.zeros(2, dtype=torch.int64), score, blank=9, window=6)
