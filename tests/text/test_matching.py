"""Which ids are tokens, and what a pool reads of them."""

import pytest
import torch

from vit.text.matching import token_mask

from ..towers import text_tower


@pytest.mark.parametrize(
    ("row", "end", "expected"),
    [
        ([5, 9, 7, 9, 0], 9, "11000"),
        ([9, 5, 7, 0, 0], 9, "10000"),
        ([5, 6, 7, 8, 0], 9, "11111"),
        ([5, 8, 7, 8, 0], "highest", "11000"),
        ([0, 0, 5, 6, 7], "highest", "11111"),
        ([0, 5, 6, 0, 7], None, "01111"),
    ],
)
def test_what_follows_the_end_is_padding(row: list[int], end: object, expected: str) -> None:
    assert token_mask(torch.tensor([row]), 0, end).int()[0].tolist() == [int(mark) for mark in expected]


@pytest.mark.parametrize("end", [9, "highest"])
def test_pools_read_up_to_the_end_whatever_the_mask(end: object) -> None:
    model = text_tower(5, 10, width=12, heads=3, depth=2, length=7, causal=True, end=end, pool="last").eval()
    torch.nn.init.normal_(model.head.weight)
    ids = torch.tensor([[4, 5, 9, 9, 9], [4, 5, 6, 7, 9]])
    everything = torch.ones_like(ids, dtype=torch.bool)
    expected = model.read_token(model.encode(ids, everything)[[0, 1], [2, 4]])
    torch.testing.assert_close(model(ids, everything), expected)
    torch.testing.assert_close(model(ids), expected)


@pytest.mark.parametrize("counts", [True, False])
def test_positions_of_a_causal_model_count_padding_where_asked(counts: bool) -> None:
    model = text_tower(5, 10, width=12, heads=3, depth=1, length=7, causal=True, count_padding=counts).eval()
    ids = torch.tensor([[0, 0, 4, 5, 6]])
    mask = ids != 0
    tokens = model.embed(ids, mask)[:, 2:]
    rows = torch.arange(2, 5) if counts else torch.arange(3)
    expected = model.embedding_norm(model.token_embedding(ids[:, 2:]) + model.positions.table[rows])
    torch.testing.assert_close(tokens, expected)
