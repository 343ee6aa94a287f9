"""Every figure of an evaluation, against scikit-learn."""

import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor, nn

from vit.errors import VitError
from vit.evaluation import metrics
from vit.evaluation.classes import most_confused, unique_names, wilson_interval
from vit.evaluation.metrics import Evaluation, evaluate

N, CLASSES = 211, 7


class Fixed(nn.Module):
    """Known logits: the input is the number of the example."""

    def __init__(self, logits: Tensor):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.logits = logits

    def forward(self, numbers: Tensor) -> Tensor:
        return self.logits[numbers]


def drawn(n: int = N, classes: int = CLASSES, among: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits that are often right, and targets among the first classes."""
    noise = torch.Generator().manual_seed(3)
    targets = torch.randint(0, among or classes, (n,), generator=noise)
    logits = 2 * torch.randn(n, classes, generator=noise)
    logits[torch.arange(n), targets] += 2
    return logits, targets


def measured(logits: Tensor, targets: Tensor, **options) -> Evaluation:
    numbers = torch.arange(len(targets))
    batches = [(part, targets[part], part) for part in numbers.split(64)]
    return evaluate(Fixed(logits), batches, lambda inputs: inputs, logits.shape[1], **options)


def test_figures_of_the_split() -> None:
    logits, targets = drawn()
    result = measured(logits, targets)
    figures, predicted = result.figures(), logits.argmax(1)
    probabilities = logits.double().softmax(-1).numpy()
    assert figures["n"] == N
    expected = {
        "accuracy": oracle.accuracy_score(targets, predicted),
        "accuracy_top5": oracle.top_k_accuracy_score(targets, probabilities, k=5),
        "balanced_accuracy": oracle.balanced_accuracy_score(targets, predicted),
        "f1_macro": oracle.f1_score(targets, predicted, average="macro"),
        "majority": np.bincount(targets).max() / N,
        "loss": oracle.log_loss(targets, probabilities),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert result.confusion.tolist() == oracle.confusion_matrix(targets, predicted).tolist()
    assert torch.equal(result.predicted, predicted)
    torch.testing.assert_close(result.scores.double(), torch.from_numpy(probabilities).amax(1))
    low, high = figures["interval"]
    assert low < figures["accuracy"] < high
    assert "temperature" not in figures


def test_figures_of_each_class() -> None:
    logits, targets = drawn()
    labels = [f"kind {index}" for index in range(CLASSES)]
    details = measured(logits, targets).details(labels)
    report = oracle.classification_report(
        targets, logits.argmax(1), target_names=labels, output_dict=True, zero_division=0
    )
    assert list(details["classes"]) == details["labels"] == labels
    for label, row in details["classes"].items():
        theirs = report[label]
        assert row == pytest.approx(
            {
                "precision": theirs["precision"],
                "recall": theirs["recall"],
                "f1": theirs["f1-score"],
                "n": theirs["support"],
            }
        )
        assert details["by_class"][label] == pytest.approx(theirs["recall"])


def test_classes_without_examples() -> None:
    """A class that is predicted and has no example counts as in scikit-learn: for macro F1 alone."""
    logits, targets = drawn(among=3)
    logits[:, 5:] -= 100  # never predicted
    result, predicted = measured(logits, targets), logits.argmax(1)
    assert set(predicted.tolist()) == {0, 1, 2, 3, 4}
    figures = result.figures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # y_pred contains classes not in y_true
        assert figures["balanced_accuracy"] == pytest.approx(
            oracle.balanced_accuracy_score(targets, predicted)
        )
    expected = oracle.f1_score(targets, predicted, average="macro", zero_division=0)
    assert figures["f1_macro"] == pytest.approx(expected)
    details = result.details([*"abcdefg"])
    for label in "defg":
        assert details["classes"][label] == {"precision": 0, "recall": 0, "f1": 0, "n": 0}
    assert list(details["by_class"]) == ["a", "b", "c"]


def test_two_classes_and_one_example() -> None:
    result = measured(torch.tensor([[2.0, -1.0]]), torch.tensor([1]))
    figures = result.figures()
    assert (figures["n"], figures["accuracy"], figures["accuracy_top5"]) == (1, 0, 1)
    assert (figures["balanced_accuracy"], figures["f1_macro"], figures["majority"]) == (0, 0, 1)
    with pytest.raises(VitError, match="the split is empty"):
        evaluate(Fixed(torch.zeros(0, 2)), [], lambda inputs: inputs, 2)


def test_wilson_interval() -> None:
    """Examples of Newcombe 1998, table I, method 3; and the formula with z = 1.96."""
    for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)
    z, share, n = 1.959964, 6 / 7, 7
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    expected = tuple((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert wilson_interval(6, 7) == pytest.approx(expected, abs=1e-6)
    assert wilson_interval(11, 11)[1] == 1


def test_most_confused() -> None:
    confusion = torch.tensor([[90, 2, 7], [7, 0, 0], [1, 0, 30]])
    assert [tuple(pair) for pair in most_confused(confusion, 3)] == [(0, 2, 7), (1, 0, 7), (0, 1, 2)]
    assert len(most_confused(confusion, 99)) == 4
    assert most_confused(torch.eye(3, dtype=torch.long), 3) == []


def test_labels_that_repeat_get_their_number() -> None:
    assert unique_names(["crane", "ant", "crane"]) == ["crane (0)", "ant", "crane (2)"]


def test_classes_of_the_dataset_in_another_order() -> None:
    logits, targets = drawn()
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(1))
    theirs = torch.empty_like(targets)
    for dataset_class, model_class in enumerate(order.tolist()):
        theirs[targets == model_class] = dataset_class
    result = measured(logits, theirs, class_order=order)
    assert torch.equal(result.targets, targets)
    assert result.figures() == measured(logits, targets).figures()


def test_a_temperature_is_recorded_and_changes_no_prediction() -> None:
    logits, targets = drawn()
    plain, fitted = measured(logits, targets), measured(logits, targets, temperature="fit")
    given = measured(logits, targets, temperature=fitted.temperature)
    torch.testing.assert_close(given.scaled, fitted.scaled)
    figures = fitted.figures()
    added = {"temperature", "calibration_error_scaled"}
    assert figures.keys() - plain.figures().keys() == added
    assert {name: value for name, value in figures.items() if name not in added} == plain.figures()
    scaled = (logits / fitted.temperature).softmax(-1).amax(-1)
    torch.testing.assert_close(fitted.scaled, scaled)
    with pytest.raises(VitError, match="fitted by one process"):
        measured(logits, targets, temperature="fit", together=True)


def test_too_many_logits_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = drawn()
    monkeypatch.setattr(metrics, "LOGITS_KEPT", N * CLASSES - 1)
    assert measured(logits, targets, temperature="fit").temperature is None
    monkeypatch.setattr(metrics, "LOGITS_KEPT", N * CLASSES)
    assert measured(logits, targets, temperature="fit").temperature is not None


def test_predictions_of_several_processes_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of two processes, each with every second example, give the figures of one."""
    logits, targets = drawn()
    alone, numbers = measured(logits, targets, temperature=1.5), torch.arange(N)
    sent: list[list[Tensor]] = []

    def all_gather_object(everyone: list, columns: list[Tensor]) -> None:
        sent.append(columns)
        everyone[:] = [*sent, *[columns] * (2 - len(sent))]

    monkeypatch.setattr(metrics.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(metrics.distributed, "all_gather_object", all_gather_object)
    for rank in (1, 0):  # the second call sees the columns of both
        mine = numbers[rank::2]
        together = evaluate(
            Fixed(logits),
            [(mine, targets[mine], mine)],
            lambda inputs: inputs,
            CLASSES,
            together=True,
            temperature=1.5,
        )
    assert torch.equal(together.predicted, alone.predicted)
    assert torch.equal(together.targets, targets)
    assert together.details([*"abcdefg"]) == alone.details([*"abcdefg"])
    torch.testing.assert_close(together.scaled, alone.scaled)
