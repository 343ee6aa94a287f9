"""Whether a file computes what its model computes, by running it as its users will."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.core import probabilities
from vit.errors import VitError
from vit.evaluation.several.metrics import at_least
from vit.export.prepare import Prepared

COUNTS = (1, 2, 7)  # of inputs
TOLERANCE = 1e-4

Runner = Callable[..., Tensor]  # the inputs of a file -> its output


class Real(NamedTuple):
    """Real inputs: a part of a dataset.

    Args:
        name: Of the data.
        batches: Makes (inputs, truth): float images (B, C, height, width) or ids (B, N); truth is the model's
            class, int64 (B,), or float (B, classes), 1 for a label, 0 for none, NaN where unknown.
    """

    name: str
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]


class Agreement(NamedTuple):
    """How far a file agrees with its model.

    Args:
        difference: The largest of all outputs.
        real: Number of real inputs.
        equal: How many of them get the same labels: all, but where the tolerance decides between two.
    """

    difference: float
    real: int
    equal: int


def verify(run: Runner, prepared: Prepared, real: Real | None = None, *, most: int = 500) -> Agreement:
    """Compare a file with its model on random inputs, and on real ones.

    Args:
        run: Runs the file.
        prepared: The model.
        real: Inputs of the model; None: random ones alone.
        most: Real inputs that are compared.

    Raises:
        VitError: The file does not run, or its outputs differ by more than `TOLERANCE`.
    """
    worst, seen, equal = 0.0, 0, 0
    for size in prepared.sizes:
        for count in COUNTS:
            inputs = prepared.make(count, size)
            what = f"{count} {'input' if count == 1 else 'inputs'} of size {' x '.join(map(str, size))}"
            worst = max(worst, _difference(_run(run, inputs, what), expected(prepared, inputs), what))
    for batch, _ in real.batches() if real else ():
        inputs = tensors(prepared.model, batch[: most - seen])
        wanted, what = expected(prepared, inputs), "real inputs"
        given = _run(run, inputs, what)
        worst = max(worst, _difference(given, wanted, what))
        equal += equal_labels(prepared.model, prepared.output, given, wanted)
        seen += len(wanted)
        if seen >= most:
            break
    return Agreement(worst, seen, equal)


def require_runs(run: Runner, prepared: Prepared) -> None:
    """Refuse a file that does not run, or whose outputs are not finite, where they may differ.

    Raises:
        VitError: As said.
    """
    for count in COUNTS:
        what = f"{count} inputs"
        if not _run(run, prepared.make(count, prepared.sizes[0]), what).isfinite().all():
            raise VitError(f"with {what} the file gives numbers that are not finite: nothing is written")


def expected(prepared: Prepared, inputs: tuple[Tensor, ...]) -> Tensor:
    """What the model itself computes, float32."""
    return prepared.reference(*inputs)


def tensors(model: Any, batch: Tensor) -> tuple[Tensor, ...]:
    """A batch of the model's inputs as a file takes it."""
    return (batch,) if model.reads == "image" else (batch, model.mask(batch).long())


def chosen(model: Any, output: str, values: Tensor) -> Tensor:
    """The labels that logits or scores (B, classes) give, bool (B, classes)."""
    scores = values if output == "scores" else probabilities(model, values)
    if model.thresholds:
        return at_least(scores, model.thresholds)
    return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).bool()


def equal_labels(model: Any, output: str, one: Tensor, other: Tensor) -> int:
    """How many rows of logits or scores (B, classes) give the same labels; of features, all."""
    if output == "features":
        return len(one)
    return int((chosen(model, output, one) == chosen(model, output, other)).all(-1).sum())


def _run(run: Runner, inputs: tuple[Tensor, ...], what: str) -> Tensor:
    try:
        return run(*inputs)
    except Exception as error:  # each runtime has its own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise VitError(f"the file does not run with {what}, and nothing is written: {reason}") from error


def _difference(given: Tensor, wanted: Tensor, what: str) -> float:
    """The largest difference of outputs.

    Raises:
        VitError: It is above the tolerance, or the outputs have another shape.
    """
    if given.shape != wanted.shape:
        raise VitError(
            f"with {what} the file gives {tuple(given.shape)} numbers, expected {tuple(wanted.shape)}: "
            "nothing is written"
        )
    largest = float((given - wanted).abs().max())
    if not largest <= TOLERANCE:  # NaN too
        raise VitError(
            f"with {what} the file differs from the model by {largest:.1e}, expected at most "
            f"{TOLERANCE:.0e}: nothing is written"
        )
    return largest
