"""The pooler, and positions that are interpolated with and without antialiasing."""

import pytest
import torch
from torch import nn

from vit.core.pooling import make_pooler
from vit.positions import GridPositions


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("grid", [(3, 11), (11, 3), (7, 5), (2, 2)])
def test_positions_are_interpolated_as_asked(grid: tuple[int, int], antialias: bool) -> None:
    positions = GridPositions(5, 7, 12, antialias=antialias)
    table = positions.table.permute(2, 0, 1)[None]
    expected = nn.functional.interpolate(table, grid, mode="bicubic", antialias=antialias)[0].permute(1, 2, 0)
    torch.testing.assert_close(positions.resized(*grid), expected, atol=1e-5, rtol=0)
    assert repr(positions) == ("GridPositions()" if antialias else "GridPositions(antialias=False)")


@pytest.mark.parametrize(("kind", "function"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_a_pooler_is_a_linear_layer_and_its_activation(kind: str, function: object) -> None:
    pooler = make_pooler(kind, 11)
    assert pooler is not None
    inputs = torch.randn(3, 11)
    assert torch.equal(pooler(inputs), function(pooler[0](inputs)))  # type: ignore[operator]
    assert make_pooler(None, 11) is None
    with pytest.raises(ValueError, match="pooler is 'gelu', expected None or one of: tanh, relu"):
        make_pooler("gelu", 11)
