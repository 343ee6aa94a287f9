"""Accuracy on corrupted images, with a model whose answers are known."""

import json

import pytest
import torch
from torch import Tensor, nn

from vit.errors import UsageError, VitError
from vit.evaluation.corruptions.corrupt import corrupt
from vit.evaluation.corruptions.measure import measure_corruptions

LEVELS = torch.tensor([20, 85, 160, 250, 85], dtype=torch.uint8)  # class 1 if brighter than 127


class BrightOrDark(nn.Module):
    """Class 1 for an image whose mean is above 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3)) - 0.5
        return torch.stack([-mean, mean], 1)


def prepare(pixels: Tensor) -> Tensor:
    return pixels.expand(-1, 3, -1, -1)


def normalise(pixels: Tensor) -> Tensor:
    assert pixels.shape[1] == 3
    return pixels / 255


def batches(size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    pixels = LEVELS.view(-1, 1, 1, 1).expand(-1, 1, 23, 29).clone()
    columns = (pixels, (LEVELS > 127).long(), torch.arange(5) + 7)
    return list(zip(*(column.split(size) for column in columns), strict=True))


def test_figures_of_a_model_that_sees_brightness() -> None:
    """Each brightness adds 13, 26, 38, 51 or 76: the last two make 85 bright."""
    result = measure_corruptions(
        BrightOrDark(), batches(2), prepare, normalise, names=("brightness", "contrast")
    )
    figures = result.figures()
    assert figures["n"] == 5
    assert figures["accuracy_clean"] == 1
    assert [row["accuracy"] for row in figures["rows"]] == [1, 1, 1, 0.6, 0.6] + [1] * 5
    assert figures["rows"][4] == {"corruption": "brightness", "severity": 5, "accuracy": 0.6, "n": 5}
    assert figures["accuracy_by_corruption"] == pytest.approx({"brightness": 0.84, "contrast": 1})
    assert figures["accuracy"] == pytest.approx(0.92)
    low, high = figures["interval"]
    assert 0.8 <= low < 0.92 < high <= 1
    assert json.loads(json.dumps(figures)) == figures


def test_all_corruptions_whatever_the_batches() -> None:
    one, other = (measure_corruptions(BrightOrDark(), batches(size), prepare, normalise) for size in (1, 5))
    assert one.corrupted.shape == (5, 15, 5)
    assert torch.equal(one.corrupted, other.corrupted)


def test_images_are_corrupted_before_they_are_prepared_and_by_their_index() -> None:
    seen = []

    def look(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return prepare(pixels)

    (pixels, *rest), *_ = batches(5)
    measure_corruptions(BrightOrDark(), [(pixels, *rest)], look, normalise, names=("fog",), seed=3)
    assert torch.equal(seen[0], pixels)
    assert torch.equal(seen[4], corrupt(pixels, "fog", 4, torch.arange(5) + 7, seed=3))


def test_classes_of_the_dataset_in_another_order() -> None:
    order = torch.tensor([1, 0])
    result = measure_corruptions(
        BrightOrDark(), batches(5), prepare, normalise, class_order=order, names=("fog",)
    )
    assert not result.clean.any()


def test_what_is_refused() -> None:
    with pytest.raises(VitError, match="on 0 images"):
        measure_corruptions(BrightOrDark(), [], prepare, normalise)
    with pytest.raises(UsageError, match="corruption is 'rain'"):
        measure_corruptions(BrightOrDark(), batches(5), prepare, normalise, names=("rain",))
