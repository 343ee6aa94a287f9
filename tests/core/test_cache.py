"""Keys and values that are kept: the same states as without."""

import pytest
import torch

from vit.core import Encoder, new_cache
from vit.core.cache import KeyValues
from vit.core.relations import causal_mask, with_mask

from ..towers import block_spec


def random_encoder(**changes: object) -> Encoder:
    torch.manual_seed(5)
    encoder = Encoder(block_spec(15, 3, 17, **changes), 2).double().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return encoder


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("parts", [[7], [3, 4], [1, 1, 5], [1] * 7])
def test_in_parts_as_in_one(parts: list[int], cross: bool) -> None:
    encoder = random_encoder(cross=cross)
    tokens, source = torch.randn(2, 7, 15).double(), torch.randn(2, 5, 15).double()
    mask = torch.tensor([[True] * 7, [False] * 2 + [True] * 5])
    more = {"source": source, "source_mask": torch.rand(2, 5) < 0.7} if cross else {}
    places = torch.arange(7)[None]
    whole = encoder(tokens, mask, with_mask(None, causal_mask(places, places), 2), **more)
    caches, done, found = new_cache(2), 0, []
    for part in parts:
        now = done + part
        relations = with_mask(None, causal_mask(places[:, done:now], places[:, :now]), 2)
        found.append(encoder(tokens[:, done:now], mask[:, :now], relations, caches=caches, **more))
        done = now
    torch.testing.assert_close(torch.cat(found, 1)[mask], whole[mask], atol=1e-12, rtol=0)
    assert caches[0].own.key is not None
    assert caches[0].own.key.shape == (2, 3, 7, 5)
    assert (caches[0].source.key is None) == (not cross)


def test_values_grow_and_a_source_does_not() -> None:
    key, value = torch.randn(2, 3, 1, 5), torch.randn(2, 3, 1, 5)
    own, source = new_cache(1)[0]
    assert own.known() is None
    assert source.known() is None
    for length in (1, 2, 3):
        found = own.extend(key, value)
        assert [part.shape for part in found] == [(2, 3, length, 5)] * 2
        assert own.known() is None  # new tokens bring keys of their own
    assert torch.equal(found[0][:, :, -1:], key)
    assert torch.equal(found[1][:, :, -1:], value)
    source.extend(key, value)
    known = source.known()
    assert known is not None
    assert torch.equal(known[0], key)
    assert torch.equal(known[1], value)


def test_rows_are_kept() -> None:
    cache = KeyValues()
    cache.keep_rows(torch.tensor([0]))  # nothing is there yet
    key, value = torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5)
    cache.extend(key, value)
    cache.keep_rows(torch.tensor([2, 0]))
    found = cache.extend(key[:2, :, :1], value[:2, :, :1])
    torch.testing.assert_close(found[0][:, :, :4], key[[2, 0]])
    torch.testing.assert_close(found[1][:, :, :4], value[[2, 0]])
    torch.testing.assert_close(found[0][:, :, 4:], key[:2, :, :1])
