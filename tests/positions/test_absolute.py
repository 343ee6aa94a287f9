"""Tables of positions."""

import math

import pytest
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from vit.positions import GridPositions
from vit.positions.absolute import sincos_2d


@pytest.mark.parametrize("kind", ["learned", "sincos"])
def test_positions_fit_another_grid_as_timm_fits_them(kind: str) -> None:
    positions = GridPositions(5, 7, 12, kind)
    ours = positions.resized(11, 3)
    theirs = resample_abs_pos_embed(
        positions.table.reshape(1, 35, 12), [11, 3], [5, 7], num_prefix_tokens=0
    ).reshape(11, 3, 12)
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(positions.resized(5, 7), positions.table)


def test_compiled_positions_learn_on_grids_that_change() -> None:
    positions = GridPositions(5, 7, 12)
    compiled = torch.compile(positions, backend="aot_eager")
    for rows, cols in ((2, 3), (3, 5), (5, 7), (3, 5)):
        gradients = []
        for module in (positions, compiled):
            positions.zero_grad()
            module(torch.ones(2, rows, cols, 12)).square().sum().backward()
            gradients.append(positions.table.grad)
        torch.testing.assert_close(gradients[1], gradients[0])


def test_learned_positions_learn_and_sincos_do_not() -> None:
    assert isinstance(GridPositions(5, 7, 12).table, nn.Parameter)
    fixed = GridPositions(5, 7, 12, "sincos")
    assert not list(fixed.parameters())
    assert not fixed.state_dict()


def test_sincos_values() -> None:
    table = sincos_2d(5, 7, 8)
    row, col = 3, 6
    expected = [
        f(place * 10_000 ** -(k / 2)) for place in (row, col) for f in (math.sin, math.cos) for k in (0, 1)
    ]
    torch.testing.assert_close(table[row, col], torch.tensor(expected))


def test_positions_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="expected a multiple of 4"):
        GridPositions(2, 2, 10, "sincos")
    with pytest.raises(ValueError, match="'fourier', expected 'learned' or 'sincos'"):
        GridPositions(2, 2, 8, "fourier")
