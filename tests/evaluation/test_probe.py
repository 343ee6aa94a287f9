"""Probes against scikit-learn and by hand."""

import pytest
import torch
from sklearn.datasets import load_digits

from vit.errors import UsageError
from vit.evaluation.probe import PROBES, evaluate_probe, fit_probe
from vit.recipes.evaluation.options import PROBE_KINDS


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    order = torch.randperm(len(data.data), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(data.data)[order].float(), torch.from_numpy(data.target)[order].long()


def test_the_command_knows_them_all() -> None:
    assert set(PROBE_KINDS) == set(PROBES)


@pytest.mark.parametrize("kind", PROBE_KINDS)
def test_digits(kind: str, digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, targets = digits
    probe = fit_probe(kind, features[:307], targets[:307])
    result = evaluate_probe(probe, features[307:], targets[307:], 11)
    assert result.accuracy > 0.9
    assert result.accuracy == pytest.approx(
        probe.classifier.score(features[307:].numpy(), targets[307:].numpy())
    )
    assert result.confusion.shape == (11, 11)
    assert not result.confusion[:, 10].any()  # a class that was not learnt is never predicted
    shuffled = targets[:307][torch.randperm(307, generator=torch.Generator().manual_seed(1))]
    by_chance = evaluate_probe(fit_probe(kind, features[:307], shuffled), features[307:], targets[307:], 10)
    assert by_chance.accuracy < 0.3


@pytest.mark.parametrize("kind", PROBE_KINDS)
def test_one_example_of_a_class(kind: str) -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    probe = fit_probe(kind, features, torch.tensor([1, 2]))
    result = evaluate_probe(probe, 2 * features.flip(0), torch.tensor([2, 1]), 3)
    assert result.accuracy == 1
    assert torch.isfinite(result.losses).all()


def test_neighbours_are_found_by_their_direction() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 9.0]])
    probe = fit_probe("knn", features, torch.tensor([0, 1]))
    assert evaluate_probe(probe, torch.tensor([[70.0, 40.0]]), torch.tensor([0]), 2).accuracy == 1


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match=r"the probe is 'svm', expected one of: linear, knn"):
        fit_probe("svm", torch.zeros(2, 2), torch.tensor([0, 1]))
