from collections import Counter
from hashlib import sha256

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vit.data.splits.content import content_split


def digests(count, start=0):
    return [sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def split(digests, targets, groups=(), val=0.1, test=0.2, seed=0):
    return content_split(
        digests, torch.as_tensor(targets), val_fraction=val, test_fraction=test, seed=seed, groups=groups
    )


def test_fractions_hold_on_average_and_the_seed_decides():
    n = 20_011
    parts = split(digests(n), torch.arange(n) % 7)
    counts = Counter(parts)
    assert counts["test"] / n == pytest.approx(0.2, abs=0.01)
    assert counts["val"] / n == pytest.approx(0.08, abs=0.007)
    assert parts == split(digests(n), torch.arange(n) % 7)
    assert parts != split(digests(n), torch.arange(n) % 7, seed=1)
    assert "test" not in split(digests(n), torch.arange(n) % 7, test=0.0)


@given(st.lists(st.integers(0, 60), min_size=30, max_size=120), st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_an_example_keeps_its_part_when_others_come_or_go(contents, seed, data):
    """Classes are large enough here that no part has to be filled up."""
    kept = data.draw(st.lists(st.sampled_from(contents), min_size=1, max_size=len(contents)))
    base = digests(2_000, start=1_000)

    def parts(numbers):
        every = [sha256(str(number).encode()).hexdigest() for number in numbers] + base
        return dict(
            zip(every, split(every, torch.zeros(len(every), dtype=torch.int64), seed=seed), strict=True)
        )

    before, after = parts(contents), parts(kept)
    assert all(before[digest] == part for digest, part in after.items())


def test_copies_and_groups_are_never_divided():
    contents = digests(200) * 3
    parts = split(contents, torch.arange(600) % 5)
    assert parts[:200] == parts[200:400] == parts[400:]
    people = [f"person {number % 23}" for number in range(600)]
    parts = split(digests(600), torch.zeros(600), groups=people)
    assert all(
        len({part for part, who in zip(parts, people, strict=True) if who == name}) == 1 for name in people
    )
    assert set(parts) == {"train", "val", "test"}


def test_a_copy_joins_two_groups():
    contents = digests(4)
    contents[3] = contents[0]  # groups a and c share a picture
    for seed in range(20):
        parts = split(contents, [0, 0, 0, 0], groups=["a", "a", "b", "c"], seed=seed)
        assert parts[0] == parts[1] == parts[3]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_small_class_is_in_as_many_parts_as_it_can_be(n):
    for seed in range(30):
        for others in (0, 500):
            parts = split(digests(n + others), [0] * n + [1] * others, seed=seed)[:n]
            assert len(set(parts)) == min(n, 3)
            assert "train" in parts


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=60), st.integers(0, 3))
@settings(deadline=None)
def test_every_class_is_in_train(examples, seed):
    contents = [sha256(str(number).encode()).hexdigest() for number, _ in examples]
    targets = torch.tensor([label for _, label in examples])
    parts = split(contents, targets, seed=seed, val=0.5, test=0.7)
    units = {
        label: {c for c, (_, own) in zip(contents, examples, strict=True) if own == label}
        for label in range(5)
    }
    for label, members in units.items():
        shared = set.union(set(), *(u for other, u in units.items() if other != label))
        if members - shared:  # a content with two labels may be needed elsewhere
            assert "train" in [p for p, t in zip(parts, targets.tolist(), strict=True) if t == label]


def test_rare_labels_are_on_every_side():
    generator = torch.Generator().manual_seed(0)
    targets = (
        torch.rand(400, 6, generator=generator) < torch.tensor([0.5, 0.3, 0.2, 0.1, 0.03, 0.01])
    ).float()
    targets[7, 5] = float("nan")
    for seed in range(10):
        parts = split(digests(400), targets, seed=seed)
        for label in range(6):
            sides = Counter(part for part, row in zip(parts, targets, strict=True) if row[label] == 1)
            if sides.total() >= 3:
                assert set(sides) == {"train", "val", "test"}
