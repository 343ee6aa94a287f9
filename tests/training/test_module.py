"""The loss of a training step with class weights, against the formula."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vit.data.augmentation.mix import Mix
from vit.training.module import Classifier
from vit.training.objective import OneLabel

WEIGHTS = torch.tensor([0.5, 3.0, 1.25])


def batch(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As the step gets it: with indices and the numbers of a mixture, which is off."""
    return logits, targets, torch.arange(len(logits)), torch.zeros(8)


def module(weights: Tensor | None, smoothing: float = 0.0) -> Classifier:
    nothing: Any = None
    classifier = Classifier(
        nn.Identity(), OneLabel(3, class_weights=weights, label_smoothing=smoothing),
        augment=lambda inputs, indices, epoch: inputs, normalise=nothing, mix=Mix(0.0, 0.0, 3, 0),
        make_optimizer=nothing, lr_factor=nothing,
    )  # fmt: skip
    classifier.log = lambda *args, **options: None  # type: ignore[method-assign]
    return classifier


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_targets_are_divided_by_the_examples(smoothing: float) -> None:
    logits = torch.randn(5, 3, dtype=torch.float32)
    targets = torch.rand(5, 3).softmax(1)
    smooth = targets * (1 - smoothing) + smoothing / 3
    expected = -(smooth * WEIGHTS * logits.double().log_softmax(1)).sum() / 5
    assert float(module(WEIGHTS, smoothing).training_step(batch(logits, targets), 0)) == pytest.approx(
        float(expected)
    )


def test_classes_are_divided_by_their_weights() -> None:
    logits, targets = torch.randn(5, 3), torch.tensor([0, 2, 2, 1, 0])
    each = -logits.double().log_softmax(1)[range(5), targets]
    weights = WEIGHTS[targets]
    expected = (each * weights).sum() / weights.sum()
    assert float(module(WEIGHTS).training_step(batch(logits, targets), 0)) == pytest.approx(float(expected))


def test_validation_is_not_weighted() -> None:
    batch = torch.randn(5, 3), torch.tensor([0, 2, 2, 1, 0])
    found = []
    for weights in (WEIGHTS, None):
        classifier = module(weights)
        classifier.validation_step(batch, 0)
        found.append(float(classifier.val_loss.compute()))
    assert found[0] == found[1]


def test_weights_are_not_stored_in_a_checkpoint() -> None:
    assert module(WEIGHTS).state_dict().keys() == module(None).state_dict().keys()
