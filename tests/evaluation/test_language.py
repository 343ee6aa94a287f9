"""Perplexity of a language model, against a loop over prefixes in float64."""

import math

import pytest
import torch

from vit.core import BlockSpec
from vit.data.texts import RawTexts
from vit.data.windows import NextTokens
from vit.evaluation.language import (
    LanguageEvaluation,
    evaluate_language,
    language_contents,
    shown_perplexity,
)
from vit.text import TextTransformer

VOCABULARY, LENGTH = 23, 5


def tower() -> TextTransformer:
    block = BlockSpec(width=12, heads=3, mlp_ratio=2.0)
    model = TextTransformer(VOCABULARY, VOCABULARY, block, length=LENGTH, depth=2, causal=True, pool="last")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


def part(counts: list[int], seed: int) -> NextTokens:
    random = torch.Generator().manual_seed(seed)
    ids = [torch.randint(1, VOCABULARY, (count,), generator=random) for count in counts]
    texts = ["x " * count for count in counts]
    return NextTokens(RawTexts(texts, torch.zeros(len(ids)).long(), texts), ids, LENGTH, padding=0)


@torch.no_grad()
def reference(model: TextTransformer, windows: list[torch.Tensor]) -> float:
    """-ln of the probability of a text in windows, a prefix at a time."""
    total = 0.0
    for window in windows:
        for place in range(1, len(window)):
            logits = model(window[None, :place])[0]
            total += float(logits.logsumexp(0) - logits[window[place]])
    return total


def test_every_token_of_every_text_counts_once() -> None:
    model, parts = tower(), [part([4, 2, 12], 1), part([7, 3], 2)]
    result = evaluate_language(model, parts, batch_size=2)
    expected = [
        reference(model, [w for w, of in zip(p.windows, p.text_of.tolist(), strict=True) if of == text])
        for p in parts
        for text in range(len(p.texts))
    ]
    assert result.losses.tolist() == pytest.approx(expected, rel=1e-5)
    assert result.tokens.tolist() == [3, 1, 11, 6, 2]
    assert evaluate_language(model, parts, batch_size=64).losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_figures() -> None:
    counts = (torch.tensor([3, 5]), torch.tensor([2, 4]), torch.tensor([11, 20]))
    figures = LanguageEvaluation(torch.tensor([6.0, 10.0]).double(), *counts).figures()
    assert (figures["n"], figures["tokens"], figures["words"], figures["bytes"]) == (2, 8, 6, 31)
    assert figures["perplexity"] == pytest.approx(math.exp(2.0))
    assert figures["perplexity_word"] == pytest.approx(math.exp(16 / 6))
    assert figures["bits_per_byte"] == pytest.approx(16 / math.log(2) / 31)
    assert figures["interval"] == pytest.approx([math.exp(2.0)] * 2), "both texts have the same mean"


def test_the_interval_holds_what_other_texts_would_give() -> None:
    """Repeated draws of 200 texts; 95 % of their intervals hold the mean of all."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, 40, (200, 500), generator=random)
    losses = tokens * (2 + torch.randn(200, 500, generator=random).double() / 2)
    held = 0
    for column in range(500):
        of = tokens[:, column]
        low, high = LanguageEvaluation(losses[:, column], of, of, of).figures()["interval"]
        held += low < math.exp(2.0) < high
    assert 455 <= held <= 492


def test_a_report_lists_the_least_expected_texts() -> None:
    counts = torch.tensor([2, 2, 4])
    result = LanguageEvaluation(torch.tensor([2.0, 9.0, 4.0]).double(), counts, counts, counts)
    contents = language_contents(result, ["a", "b", "c"], ["x:1", "x:2", "x:3"])
    (rows,) = contents.tables.values()
    assert [row["path"] for row in rows] == ["x:2", "x:1", "x:3"]
    assert contents.files["texts.csv"][1][1] == ["x:2", 2, 2, "9"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1.00"),
        (34.504, "34.50"),
        (812.49, "812"),
        (123456.78, "123,457"),
        (1234567.8, "1.23e+06"),
        (math.inf, "inf"),
    ],
)
def test_a_perplexity_is_shown_with_few_digits(value: float, shown: str) -> None:
    assert shown_perplexity(value) == shown
