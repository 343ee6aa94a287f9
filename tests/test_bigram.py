"""The bigram baseline: probabilities that sum to 1, and those of a plain count in Python."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import pytest
import torch

from vit.data.texts import RawTexts
from vit.data.windows import NextTokens

VOCABULARY, DISCOUNT = 7, 0.6
TEXTS = [[1, 4, 5, 4, 2], [1, 4, 4, 5, 2], [1, 3, 2]]


@pytest.fixture
def bigram(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bigram")


def probability(before: int, after: int) -> float:
    pairs = Counter(pair for text in TEXTS for pair in pairwise(text))
    preceders = Counter(second for _, second in pairs)
    unigram = max(preceders[after] - DISCOUNT, 0) / len(pairs)
    unigram += DISCOUNT * len(preceders) / len(pairs) / VOCABULARY
    total = sum(count for (first, _), count in pairs.items() if first == before)
    if not total:
        return unigram
    followers = sum(first == before for first, _ in pairs)
    return (max(pairs[before, after] - DISCOUNT, 0) + DISCOUNT * followers * unigram) / total


def test_probabilities_are_those_of_the_formula_and_sum_to_1(bigram: ModuleType) -> None:
    model = bigram.KneserNey([torch.tensor(text) for text in TEXTS], VOCABULARY, DISCOUNT)
    for before in range(VOCABULARY):
        given = [
            math.exp(-float(model.losses(torch.tensor([before, after]))[0])) for after in range(VOCABULARY)
        ]
        assert given == pytest.approx([probability(before, after) for after in range(VOCABULARY)])
        assert sum(given) == pytest.approx(1)


def test_texts_are_put_together_from_windows(bigram: ModuleType) -> None:
    ids = [torch.arange(1, count + 1) for count in (2, 5, 6, 11)]
    names = ["a", "b", "c", "d"]
    part = NextTokens(RawTexts(names, torch.zeros(4).long(), names), ids, 5, padding=0)
    assert [text.tolist() for text in bigram.whole_texts(part)] == [text.tolist() for text in ids]


def test_the_discount_is_chosen_on_validation(bigram: ModuleType) -> None:
    names = ["a", "b", "c"]
    raw = RawTexts(names, torch.zeros(3).long(), names)
    part = NextTokens(raw, [torch.tensor(text) for text in TEXTS], 9, padding=0)
    result = bigram.bigram(part, part, part, VOCABULARY)
    assert result["discount"] == bigram.DISCOUNTS[0], "texts that are known need no discount"
    losses = [-math.log(probability(*pair)) for text in TEXTS for pair in pairwise(text)]
    other = bigram.measured(
        bigram.KneserNey([torch.tensor(text) for text in TEXTS], VOCABULARY, DISCOUNT), part
    )
    assert float(other.losses.sum()) == pytest.approx(sum(losses))
    assert result["val"]["loss"] < sum(losses) / len(losses)
