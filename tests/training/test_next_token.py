"""The objective of a language model, against a loop in float64."""

import math

import pytest
import torch

from vit.core import BlockSpec
from vit.data.windows import IGNORED
from vit.text import TextTransformer
from vit.training.next_token import NextToken, Perplexity

CLASSES = 13


def tower() -> TextTransformer:
    block = BlockSpec(width=12, heads=3, mlp_ratio=2.0)
    model = TextTransformer(CLASSES, CLASSES, block, length=9, depth=2, causal=True, pool="last")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


@torch.no_grad()
def test_each_position_predicts_the_next_token_from_those_before_it() -> None:
    model, objective = tower(), NextToken(CLASSES, tokens_per_word=1.5)
    ids = torch.tensor([[3, 5, 7, 9, 2], [4, 6, 8, 0, 0], [1, 0, 0, 0, 0]])
    targets = torch.tensor([[5, 7, 9, 2, 11], [6, 8, 12, *[IGNORED] * 2], [10, *[IGNORED] * 4]])
    losses = []
    for row, wanted in zip(ids, targets, strict=True):
        for place in range(int((wanted != IGNORED).sum())):
            logits = model(row[None, : place + 1])[0]
            losses.append(float(logits.logsumexp(0) - logits[wanted[place]]))
    logits, chosen = objective.outputs(model, ids, targets)
    assert objective.count(chosen) == len(losses) == 9
    assert float(objective.loss(logits, chosen)) == pytest.approx(sum(losses) / 9, abs=1e-12)
    metric = objective.val_metric()
    metric.update(*(tensor[:2] for tensor in (logits, chosen)))
    metric.update(*(tensor[2:] for tensor in (logits, chosen)))
    assert float(metric.compute()) == pytest.approx(math.exp(sum(losses) / 9), rel=1e-5)


def test_smoothing_is_for_training_alone() -> None:
    objective = NextToken(CLASSES, tokens_per_word=1.5, label_smoothing=0.3)
    logits, targets = torch.randn(7, CLASSES), torch.randint(CLASSES, (7,))
    plain = -logits.log_softmax(1)[torch.arange(7), targets].mean()
    assert float(objective.val_loss(logits, targets)) == pytest.approx(float(plain), rel=1e-6)
    spread = -logits.log_softmax(1).mean()
    assert float(objective.loss(logits, targets)) == pytest.approx(
        float(0.7 * plain + 0.3 * spread), rel=1e-6
    )


def test_the_perplexity_of_a_word_follows_from_that_of_a_token() -> None:
    objective = NextToken(CLASSES, tokens_per_word=1.5)
    assert float(objective.following(torch.tensor(2.0))["perplexity_word"]) == pytest.approx(math.exp(3.0))


def test_a_probability_that_rounds_to_zero_is_not_infinite_surprise() -> None:
    metric = Perplexity()
    metric.update(torch.tensor([[0.0, 120.0], [0.0, 0.0]]), torch.tensor([0, 0]))
    assert float(metric.compute()) == pytest.approx(math.exp((120 + math.log(2)) / 2), rel=1e-4)
