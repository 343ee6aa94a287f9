import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vit.data.images import TensorImages
from vit.data.loader import EpochSampler, loader
from vit.errors import VitError

sizes = {"n": st.integers(0, 60), "batch_size": st.integers(1, 13), "world": st.integers(1, 5)}


def ranks(n, batch_size, world, **options):
    return [
        list(EpochSampler(n, batch_size, seed=0, rank=rank, world=world, **options)) for rank in range(world)
    ]


@given(**sizes, drop_last=st.booleans())
def test_training_covers_everything_in_equal_steps(n, batch_size, world, drop_last):
    batches = ranks(n, batch_size, world, shuffle=True, drop_last=drop_last)
    assert len({len(rank_batches) for rank_batches in batches}) == 1
    assert len(batches[0]) == len(
        EpochSampler(n, batch_size, seed=0, shuffle=True, drop_last=drop_last, world=world)
    )
    seen = [index for rank_batches in batches for batch in rank_batches for index in batch]
    if drop_last:
        assert all(len(batch) == batch_size for rank_batches in batches for batch in rank_batches)
    else:
        assert set(seen) == set(range(n))
        assert len(seen) - n < world


@given(**sizes)
def test_evaluation_counts_every_picture_once(n, batch_size, world):
    batches = ranks(n, batch_size, world, shuffle=False)
    assert sorted(index for rank_batches in batches for batch in rank_batches for index in batch) == list(
        range(n)
    )
    for rank, rank_batches in enumerate(batches):
        sampler = EpochSampler(n, batch_size, seed=0, shuffle=False, rank=rank, world=world)
        assert len(sampler) == len(rank_batches)


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        sampler = EpochSampler(53, 7, seed=seed, shuffle=True)
        sampler.set_epoch(epoch)
        return [index for batch in sampler for index in batch]

    torch.manual_seed(0)
    first = order(1, 2)
    torch.manual_seed(1)
    assert order(1, 2) == first
    assert order(1, 3) != first
    assert order(2, 2) != first
    assert sorted(first) == list(range(53))


def test_bad_arguments_are_refused():
    with pytest.raises(VitError, match="batch_size is 0"):
        EpochSampler(5, 0, seed=0, shuffle=False)
    with pytest.raises(VitError, match="rank is 2 of 2"):
        EpochSampler(5, 1, seed=0, shuffle=False, rank=2, world=2)


def test_loader_gives_ready_made_batches():
    pixels = torch.randint(0, 256, (11, 3, 5, 7), dtype=torch.uint8)
    images = TensorImages(pixels, torch.arange(11) % 2, [str(i) for i in range(11)])
    batches = loader(images, 4, seed=3, shuffle=True)
    assert len(batches) == 3
    batches.sampler.set_epoch(1)
    seen = []
    for batch in batches:
        assert type(batch) is tuple
        inputs, targets, indices = batch
        assert inputs.dtype == torch.uint8
        assert torch.equal(inputs, pixels[indices])
        assert torch.equal(targets, indices % 2)
        seen += indices.tolist()
    assert sorted(seen) == list(range(11))
    assert seen == [index for batch in batches.sampler for index in batch]
    assert len(loader(images, 4, drop_last=True)) == 2
