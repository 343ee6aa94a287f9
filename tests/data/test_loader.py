import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vit.data.balance import example_weights
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


TARGETS = torch.tensor([0] * 61 + [1] * 31 + [2] * 5)


def draws(world=1, rank=0, epoch=3, batch_size=7, lengths=None, drop_last=False, skip=0):
    sampler = EpochSampler(
        97, batch_size, seed=5, shuffle=True, drop_last=drop_last, lengths=lengths,
        weights=example_weights(TARGETS), rank=rank, world=world,
    )  # fmt: skip
    sampler.set_epoch(epoch)
    sampler.skip(skip)
    return list(sampler)


def flat(batches):
    return [number for batch in batches for number in batch]


def test_balanced_draws():
    """As many as there are examples, all classes as often, each draw another number."""
    numbers = flat(draws())
    assert len(numbers) == len(set(numbers)) == 97
    many = torch.tensor([number % 97 for epoch in range(200) for number in flat(draws(epoch=epoch))])
    shares = TARGETS[many].bincount() / len(many)
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)  # 19,400 draws: three sigma
    in_class = many[TARGETS[many] == 2].bincount(minlength=97)[-5:] / len(many)
    assert in_class.tolist() == pytest.approx([1 / 15] * 5, abs=0.006)
    for index in range(97):  # the draws of one example are numbered in their order
        assert [number // 97 for number in numbers if number % 97 == index] == list(
            range(sum(number % 97 == index for number in numbers))
        )


def test_balanced_draws_are_a_function_of_seed_and_epoch_and_resume():
    torch.manual_seed(0)
    first = draws()
    torch.manual_seed(1)
    assert draws() == first
    assert draws(epoch=4) != first
    for done in (0, 1, 5, len(first)):
        assert draws(skip=done) == first[done:]


@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_one_balanced_draw(drop_last):
    whole = flat(draws())
    parts = [draws(world=3, rank=rank, drop_last=drop_last) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    for rank, part in enumerate(parts):
        share = (whole + whole[:2])[rank::3]  # padded to equal steps with the beginning of the draw
        assert flat(part) == share[: len(flat(part))]


def test_balanced_draws_of_texts_have_similar_lengths():
    lengths = torch.arange(97) * 31 % 97
    batches = draws(lengths=lengths, batch_size=3)
    assert sorted(flat(batches)) == sorted(flat(draws()))
    spans = [max(found) - min(found) for found in ([lengths[n % 97] for n in batch] for batch in batches)]
    assert sorted(spans)[len(spans) // 2] < 10


def test_a_loader_of_balanced_draws():
    pixels = torch.randint(0, 256, (97, 1, 5, 7), dtype=torch.uint8)
    images = TensorImages(pixels, TARGETS, [str(i) for i in range(97)])
    batches = loader(images, 11, seed=5, shuffle=True, weights=example_weights(TARGETS))
    batches.sampler.set_epoch(3)
    seen = []
    for inputs, targets, numbers in batches:
        assert torch.equal(inputs, pixels[numbers % 97])
        assert torch.equal(targets, TARGETS[numbers % 97])
        seen += numbers.tolist()
    assert seen == flat(draws(batch_size=11))
