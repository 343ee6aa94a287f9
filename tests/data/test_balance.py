"""Weights of classes and examples."""

import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from vit.data.balance import MOST, class_weights, draw_with_replacement, example_weights, positive_weights
from vit.errors import VitError

TARGETS = torch.tensor([2, 0, 2, 2, 0, 2, 4, 2, 2, 2, 4])


def test_class_weights_are_those_of_scikit_learn() -> None:
    found = class_weights(TARGETS, 5)
    used = [0, 2, 4]
    expected = compute_class_weight("balanced", classes=torch.tensor(used).numpy(), y=TARGETS.numpy())
    # It divides by the classes that occur: 3 of our 5.
    assert (found[used] * 5 / 3).tolist() == pytest.approx(expected.tolist())
    assert found[[1, 3]].tolist() == [0, 0]
    assert found.dtype == torch.float32


def test_example_weights_have_the_same_sum_in_each_class() -> None:
    weights = example_weights(TARGETS)
    assert [float(weights[label == TARGETS].sum()) for label in (0, 2, 4)] == pytest.approx([1, 1, 1])


def test_one_example_may_be_all_draws() -> None:
    weights = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    assert draw_with_replacement(weights, torch.Generator().manual_seed(7)).tolist() == [1, 4, 7]


def test_several_labels_have_no_classes_to_balance() -> None:
    with pytest.raises(VitError, match=r"shape \(7, 3\): leave the key out"):
        class_weights(torch.zeros(7, 3), 3)


def test_a_label_with_fewer_examples_weighs_more() -> None:
    targets = torch.zeros(210, 4)
    targets[:30, 0] = 1  # 180 without it
    targets[:2, 1] = 1
    targets[:, 2] = 1
    targets[:100, 3] = float("nan")
    targets[100:122, 3] = 1  # 88 without it
    assert positive_weights(targets).tolist() == pytest.approx([6.0, MOST, 1 / MOST, 4.0])
