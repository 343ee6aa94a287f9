"""The range of colors of a map."""

import numpy as np
import pytest
import torch

from vit.errors import VitError
from vit.viewer.scale import scale


def heats(seed: int) -> torch.Tensor:
    return torch.rand(16, 16, generator=torch.Generator().manual_seed(seed)).double()


def test_without_far_values_colors_run_from_the_smallest_to_the_largest() -> None:
    heat = heats(1)
    found = scale(heat)
    assert (found.low, found.high) == (heat.min().item(), heat.max().item())
    assert not found.above.any()
    assert not found.below.any()
    expected = (heat - heat.min()) / (heat.max() - heat.min())
    torch.testing.assert_close(found.values.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_patch_far_from_all_others_is_clipped(sign: int) -> None:
    heat = heats(2)
    plain = scale(heat).values
    heat[3, 5] = sign * 40.0
    found = scale(heat)
    cut, other = (found.above, found.below) if sign > 0 else (found.below, found.above)
    assert cut[3, 5]
    assert 1 <= cut.sum() <= round(0.02 * 256) + 1
    assert not other.any()
    end = np.percentile(heat.numpy(), 98 if sign > 0 else 2)
    assert (found.high if sign > 0 else found.low) == pytest.approx(end)
    # All others have nearly the color that they have without it.
    rest = torch.ones(16, 16, dtype=torch.bool)
    rest[3, 5] = False
    assert (found.values - plain)[rest].abs().max() < 0.05


def test_cells_that_are_set_apart_do_not_count() -> None:
    heat = heats(3)
    apart = torch.zeros(16, 16, dtype=torch.bool)
    apart[0, 0] = apart[9, 4] = True
    heat[apart] = torch.tensor([50.0, -50.0]).double()
    found = scale(heat, apart)
    assert (found.low, found.high) == (heat[~apart].min().item(), heat[~apart].max().item())
    assert not (found.above | found.below).any()
    assert found.values[0, 0] == 1
    assert found.values[9, 4] == 0


@pytest.mark.parametrize(
    "heat",
    [
        torch.zeros(4, 4),
        torch.full((3, 7), 2.5),
        torch.full((1, 1), -3.0),
    ],
)
def test_equal_values_have_one_color(heat: torch.Tensor) -> None:
    found = scale(heat)
    assert found.low == found.high == heat[0, 0]
    assert found.values.unique().numel() == 1


def test_few_values_among_equal_ones_are_shown_whole() -> None:
    """Where 98 % are equal, a percentile would be no range."""
    heat = torch.zeros(8, 8)
    heat[2, 2] = 1
    found = scale(heat)
    assert (found.low, found.high) == (0, 1)
    assert not found.above.any()


def test_all_apart_all_count() -> None:
    heat = heats(4)
    found = scale(heat, torch.ones(16, 16, dtype=torch.bool))
    assert (found.low, found.high) == (heat.min().item(), heat.max().item())


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(VitError, match=r"apart has shape \(2, 2\), expected that of heat, \(3, 5\)"):
        scale(torch.rand(3, 5), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(VitError, match=r"expected \(rows, cols\)"):
        scale(torch.rand(3))
