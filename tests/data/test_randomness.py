import pytest
import torch
from scipy import stats

from vit.data.randomness import generator, hash64, uniforms

MASK = (1 << 64) - 1


def splitmix(x):
    """SplitMix64's finaliser on Python's own integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def test_hash_equals_integer_arithmetic():
    for keys in ((0,), (7, 0, 3), (-1, 2**63, 2**64 - 1)):
        bits = 0
        for key in keys:
            bits = splitmix(((bits ^ (key & MASK)) + 0x9E3779B97F4A7C15) & MASK)
        assert int(hash64(*keys)) & MASK == bits


def test_numbers_depend_on_seed_epoch_and_index_alone():
    all_of_them = uniforms(3, 5, torch.arange(101), 7)
    some = torch.tensor([97, 2, 2, 53])
    assert torch.equal(uniforms(3, 5, some, 7), all_of_them[some])
    assert torch.equal(uniforms(3, 5, some, 3), all_of_them[some, :3])
    torch.manual_seed(1)
    assert torch.equal(uniforms(3, 5, torch.arange(101), 7), all_of_them)
    for other in (uniforms(4, 5, torch.arange(101), 7), uniforms(3, 6, torch.arange(101), 7)):
        assert (other == all_of_them).float().mean() < 0.01


def test_numbers_are_uniform_and_unrelated():
    u = uniforms(0, 0, torch.arange(20_011), 5)
    assert u.dtype == torch.float32
    assert u.min() >= 0
    assert u.max() < 1
    for column in u.T:
        assert stats.kstest(column.double().numpy(), "uniform").pvalue > 1e-4
    assert (torch.corrcoef(u.T) - torch.eye(5)).abs().max() < 0.03  # 4 sigma
    neighbours = torch.corrcoef(torch.stack((u[:-1, 0], u[1:, 0])))[0, 1]
    assert neighbours.abs() < 0.03


def test_nothing_to_draw():
    assert uniforms(0, 0, torch.arange(0), 3).shape == (0, 3)
    assert uniforms(0, 0, torch.arange(3), 0).shape == (3, 0)


def test_generator_depends_on_every_key_and_their_order():
    draws = {torch.rand((), generator=generator(*keys)).item() for keys in ((1, 2), (2, 1), (1,), (1, 2, 0))}
    assert len(draws) == 4
    assert torch.rand((), generator=generator(1, 2)) == torch.rand((), generator=generator(1, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_numbers_on_a_gpu():
    indices = torch.arange(101)
    assert torch.equal(uniforms(3, 5, indices.cuda(), 7).cpu(), uniforms(3, 5, indices, 7))
