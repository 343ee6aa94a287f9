"""Batches made ahead, and those of examples that live on the device, are the batches of the loader."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from vit.data.features import FeatureExamples
from vit.data.images import Batch, TensorImages
from vit.data.loader import RESIDENT, Feed, loader, on_device

COUNT, BATCH = 23, 5


@pytest.fixture
def images() -> TensorImages:
    pixels = torch.randint(0, 256, (COUNT, 3, 7, 5), dtype=torch.uint8)
    return TensorImages(pixels, torch.randint(0, 4, (COUNT,)), [str(i) for i in range(COUNT)])


class Slow:
    """Examples that take their time."""

    def __init__(self, examples: Any, seconds: float):
        self.examples, self.seconds = examples, seconds
        self.made = 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, indices: list[int]) -> Batch:
        time.sleep(self.seconds)
        self.made += 1
        return self.examples[indices]


def same(one: Any, other: Any) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


def batches(examples: Any, *, weights: Tensor | None = None, ahead: int = 0) -> Feed:
    made = loader(examples, BATCH, seed=3, shuffle=True, drop_last=True, weights=weights)
    return Feed(made, ahead)


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
@pytest.mark.parametrize("weights", [None, torch.ones(COUNT, dtype=torch.float64)], ids=["each", "drawn"])
def test_the_order_is_that_of_the_epoch_and_what_is_done_is_left_out(
    images: TensorImages, ahead: int, weights: Tensor | None
) -> None:
    expected, feed = batches(images, weights=weights).batches, batches(images, weights=weights, ahead=ahead)
    assert len(feed) == COUNT // BATCH
    for epoch in range(3):
        plain: Any = iter(expected)
        found = iter(feed)  # before the epoch is set, as Lightning does it
        expected.sampler.set_epoch(epoch)
        feed.sampler.set_epoch(epoch)
        if epoch == 1:
            expected.sampler.skip(2)
            feed.sampler.skip(2)
        rows = list(found)
        assert len(rows) == COUNT // BATCH - 2 * (epoch == 1)
        assert same(rows, list(plain))


def test_the_random_numbers_of_training_are_left_alone(images: TensorImages) -> None:
    before = torch.get_rng_state()
    list(batches(images, ahead=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_pass_that_is_broken_off_ends(images: TensorImages, ahead: int) -> None:
    slow = Slow(images, 0.0)
    passing = iter(batches(slow, ahead=ahead))
    next(passing)
    passing.close()  # type: ignore[attr-defined]
    assert slow.made <= 1 + ahead


def test_an_error_of_the_thread_reaches_the_reader(images: TensorImages) -> None:
    class Broken(Slow):
        def __getitem__(self, indices: list[int]) -> Batch:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        next(iter(batches(Broken(images, 0.0), ahead=2)))


def test_waiting_is_measured_and_less_where_batches_are_made_ahead(images: TensorImages) -> None:
    waited = []
    for ahead in (0, 2):
        feed = batches(Slow(images, 0.05), ahead=ahead)
        for _ in feed:
            time.sleep(0.1)  # the model's work
        waited.append(feed.waited)
    assert 0.2 <= waited[0] < 0.4
    assert 0.05 <= waited[1] < 0.6 * waited[0]


@pytest.mark.parametrize("kind", ["images", "features"])
def test_examples_on_the_device(images: TensorImages, kind: str) -> None:
    examples: Any = images
    if kind == "features":
        examples = FeatureExamples(torch.randn(COUNT, 6), images.targets, images.names)
    size = sum(each.nbytes for each in (examples[list(range(COUNT))][:2]))
    cpu = torch.device("cpu")
    assert on_device(examples, cpu, int(size / RESIDENT) - 1) is None
    resident = on_device(examples, cpu, int(size / RESIDENT) + 1)
    assert resident is not None
    weights = torch.ones(COUNT, dtype=torch.float64)
    for drawn in (None, weights):
        assert same(batches(resident, weights=drawn), batches(examples, weights=drawn))
    elsewhere = on_device(examples, torch.device("meta"), 10**9)
    assert elsewhere is not None
    inputs, targets, numbers = next(iter(batches(elsewhere)))
    assert (inputs.device.type, targets.device.type, numbers.device.type) == ("meta", "meta", "cpu")
    assert inputs.shape == (BATCH, *examples[[0]][0].shape[1:])


def test_texts_and_files_stay() -> None:
    assert on_device(object(), torch.device("cpu"), 10**12) is None
