"""Classes of unequal size: weights for the loss, or for the draw of examples."""

import torch
from torch import Tensor

from vit.errors import VitError

MOST = 20.0  # weight of the examples that have a label


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """The weight of each class in the loss: n / (classes * n_class), so that the mean over the examples is 1.

    Args:
        targets: int64 (n,), the class of each example.
        classes: Their number. A class without an example has weight 0.

    Returns:
        float32 (classes,).

    Raises:
        VitError: The examples have several labels each.
    """
    counts = _counts(targets, classes)
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 0.0).float()


def positive_weights(targets: Tensor) -> Tensor:
    """The weight of the examples that have a label, in the loss of that label: as many as have it not.

    Args:
        targets: float32 (n, classes): 1 has the label, 0 has it not, NaN is unknown.

    Returns:
        float32 (classes,), n_negative / n_positive of each label, but at most `MOST` and at least its
        inverse: a label of few examples would otherwise drive the training.
    """
    has, has_not = ((targets == value).sum(0).float() for value in (1, 0))
    return (has_not / has).nan_to_num(1.0).clamp(1 / MOST, MOST)


def example_weights(targets: Tensor) -> Tensor:
    """The weight of each example in a draw: 1 / n_class of its class; each class has the same sum.

    Args:
        targets: int64 (n,), the class of each example.

    Returns:
        float64 (n,).

    Raises:
        VitError: The examples have several labels each.
    """
    return _counts(targets).double().reciprocal()[targets]


def draw_with_replacement(weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as there are examples, in the order in which they are drawn.

    Args:
        weights: float64 (n,), what the probability of each example is proportional to.
        generator: On the CPU.

    Returns:
        int64 (n,): the k-th draw of example i, counted from 0, is i + k n. Each draw is another number, so
        that an example which is drawn several times is augmented in several ways.
    """
    n = len(weights)
    drawn = torch.multinomial(weights, n, replacement=True, generator=generator)
    ascending, places = drawn.sort(stable=True)
    earlier_draws = torch.empty_like(drawn)
    earlier_draws[places] = torch.arange(n) - torch.searchsorted(ascending, ascending)
    return drawn + n * earlier_draws


def _counts(targets: Tensor, classes: int = 0) -> Tensor:
    """Examples of each class."""
    if targets.ndim != 1:
        raise VitError(
            f"data.balance needs one class per example, and the targets have shape {tuple(targets.shape)}: "
            "leave the key out"
        )
    return targets.bincount(minlength=classes)
