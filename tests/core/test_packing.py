"""Padding that is not computed changes nothing but its own places."""

import pytest
import torch

from vit.core import Encoder
from vit.core.packing import pack_padding

from ..towers import block_spec


def test_there_and_back() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, False]])
    tokens = torch.randn(3, 3, 5)
    packing = pack_padding(mask)
    assert packing is not None
    packed = packing.pack(tokens)
    assert packed.shape == (4, 5)
    assert torch.equal(packing.unpack(packed), tokens * mask[..., None])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_packed_equals_padded(norm: str) -> None:
    torch.manual_seed(1)
    encoder = Encoder(block_spec(10, 2, norm=norm, qk_norm=True), 3, final_norm=norm == "pre")
    tokens = torch.randn(3, 7, 10)
    mask = torch.tensor([[True] * 7, [True] * 3 + [False] * 4, [False] * 6 + [True]])
    padded = encoder.train()(tokens, mask)  # no dropout: training computes the padding, and no more
    packed = encoder.eval()(tokens, mask)
    torch.testing.assert_close(packed[mask], padded[mask], atol=1e-5, rtol=1e-5)
    assert (packed[~mask] == 0).all()
    assert padded[~mask].abs().max() > 0.1


def test_packed_gradients_are_those_of_padded() -> None:
    torch.manual_seed(1)
    encoder = Encoder(block_spec(10, 2), 2)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    gradients = []
    for training in (True, False):
        tokens = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(2)).requires_grad_()
        (encoder.train(training)(tokens, mask)[mask] ** 2).sum().backward()
        gradients.append(tokens.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("mask", "worth"),
    [
        (None, False),
        (torch.ones(2, 3, dtype=torch.bool), False),
        (torch.tensor([[True, False]]), True),
        (torch.ones(1, 1, 3, 3, dtype=torch.bool).tril(), False),
    ],
)
def test_only_padding_is_worth_it(mask: torch.Tensor | None, worth: bool) -> None:
    assert (pack_padding(mask) is not None) is worth


def test_a_causal_mask_is_a_mask_like_others() -> None:
    torch.manual_seed(1)
    encoder = Encoder(block_spec(10, 2), 2).eval()
    tokens = torch.randn(1, 5, 10)
    causal = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    changed = tokens.clone()
    changed[:, 3:] += 1
    first, second = (encoder(each, causal)[:, :3] for each in (tokens, changed))
    torch.testing.assert_close(first, second)
