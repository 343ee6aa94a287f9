import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vit.data.splits.content import stratified_split
from vit.errors import VitError


@given(
    st.lists(st.integers(0, 6), max_size=80),
    st.floats(0, 0.99),
    st.integers(0, 2**32),
)
def test_every_class_gives_its_part(targets, fraction, seed):
    targets = torch.tensor(targets, dtype=torch.int64)
    kept, held = stratified_split(targets, fraction, seed)
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(targets)))
    assert kept.tolist() == sorted(kept.tolist())
    assert held.tolist() == sorted(held.tolist())
    for label in range(7):
        n = int((targets == label).sum())
        wanted = round(fraction * n) if fraction == 0 or n < 2 else max(1, round(fraction * n))
        assert int((targets[held] == label).sum()) == max(0, min(wanted, n - 1))


def test_the_seed_alone_decides():
    targets = torch.arange(300) % 3
    torch.manual_seed(0)
    first = stratified_split(targets, 0.2, 7)[1]
    torch.manual_seed(1)
    assert torch.equal(stratified_split(targets, 0.2, 7)[1], first)
    assert not torch.equal(stratified_split(targets, 0.2, 8)[1], first)


def test_fractions_outside_are_refused():
    for fraction in (-0.1, 1.0):
        with pytest.raises(VitError, match="expected 0 <= fraction < 1"):
            stratified_split(torch.zeros(5, dtype=torch.int64), fraction, 0)
