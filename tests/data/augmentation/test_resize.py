import pytest
import torch
from torchvision.transforms.v2 import functional as oracle

from vit.data.augmentation.resize import ProgressiveResize
from vit.errors import VitError


def test_pictures_grow_by_a_patch_at_a_time():
    images = torch.rand(3, 2, 5 * 7, 4 * 11, generator=torch.Generator().manual_seed(0))
    grow = ProgressiveResize(0.5, 0.6, (7, 11))  # from 2.5 to 5 rows, from 2 to 4 columns
    grids = [(2, 2), (2, 2), (3, 2), (3, 3), (4, 3), (4, 3), (5, 4), (5, 4)]
    for progress, (rows, cols) in zip((0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1), grids, strict=True):
        grown = grow(images, progress)
        expected = oracle.resize(images, [rows * 7, cols * 11], antialias=True)
        torch.testing.assert_close(grown, expected)


def test_growth_begins_with_one_patch_at_least_and_can_be_over_at_once():
    images = torch.rand(1, 1, 8, 8)
    assert ProgressiveResize(0.01, 1.0, (4, 4))(images, 0.0).shape == (1, 1, 4, 4)
    assert ProgressiveResize(0.01, 0.0, (4, 4))(images, 0.0) is images


@pytest.mark.parametrize(("start", "until"), [(0, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, 1.1)])
def test_growth_refuses_numbers_out_of_range(start, until):
    with pytest.raises(VitError, match=r"augment\.grow_(from is (0|1\.1)|until is (-0\.1|1\.1)), expected"):
        ProgressiveResize(start, until, (4, 4))
