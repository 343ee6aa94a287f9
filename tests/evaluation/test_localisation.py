"""Localisation, on maps and pictures whose answer is known."""

import pytest
import torch

from vit.evaluation.localisation import FIELDS, Localisation, marked, pointing, quarters, share_inside

ROWS, COLS = 3, 5


def test_pointing_and_share() -> None:
    inside = torch.zeros(3, ROWS, COLS, dtype=torch.bool)
    inside[:, 1, 2:4] = True
    maps = torch.full((3, ROWS, COLS), -1.0)
    maps[0, 1, 3], maps[0, 0, 0] = 3.0, 1.0  # in it, three quarters of what is positive
    maps[1, 1, 2], maps[1, 2, 4] = 2.0, 6.0  # out of it
    assert pointing(maps, inside).tolist()[:2] == [True, False]
    assert share_inside(maps, inside).tolist() == [0.75, 0.25, 0.0]


def test_a_map_of_zeros_points_by_chance() -> None:
    """Ties are broken by one random order, not by the first patch."""
    inside = torch.eye(ROWS * COLS, dtype=torch.bool).unflatten(1, (ROWS, COLS))
    assert int(pointing(torch.zeros(ROWS * COLS, ROWS, COLS), inside).sum()) == 1
    assert not bool(pointing(torch.zeros(1, ROWS, COLS), inside[:1]))


def test_rows() -> None:
    inside = torch.zeros(4, ROWS, COLS, dtype=torch.bool)
    inside[:, 0] = True
    measured = Localisation()
    right = torch.zeros(4, ROWS, COLS)
    right[:, 0, 1] = 1
    for part in (slice(0, 3), slice(3, 4)):
        measured.add({"right": right[part], "even": torch.ones(4, ROWS, COLS)[part]}, inside[part])
    rows = {row["method"]: row for row in measured.rows()}
    assert list(rows["right"]) == list(FIELDS)
    assert [rows["right"][name] for name in FIELDS[1:]] == [4, *[1.0] * 6]
    assert rows["even"]["n"] == 4
    assert rows["even"]["inside"] == pytest.approx(1 / 3)


def test_quarters_are_four_classes_of_which_one_is_asked_for() -> None:
    height, width, count = 4, 6, 21
    targets = torch.arange(35) % 7
    images = torch.stack([targets.float(), torch.arange(35).float()], 1)[:, :, None, None]
    images = images.expand(-1, -1, height, width)
    found = quarters(images, targets, (2, 3), count, seed=5)
    assert found.images.shape == (count, 2, 2 * height, 2 * width)
    assert found.inside.shape == (count, 4, 6)
    asked = set()
    for image, target, inside in zip(found.images, found.targets, found.inside, strict=True):
        tiles = [image[:, y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
        assert all((tile == tile[:, :1, :1]).all() for tile in tiles)
        assert all(int(tile[1, 0, 0]) % 7 == int(tile[0, 0, 0]) for tile in tiles), "not one of the pictures"
        classes = [int(tile[0, 0, 0]) for tile in tiles]
        assert len(set(classes)) == 4
        place = classes.index(int(target))
        asked.add(place)
        expected = torch.zeros(4, 6, dtype=torch.bool)
        expected[2 * (place // 2) :, 3 * (place % 2) :][:2, :3] = True
        assert torch.equal(inside, expected)
    assert asked == {0, 1, 2, 3}
    again = quarters(images, targets, (2, 3), count, seed=5)
    assert torch.equal(again.images, found.images)
    assert not torch.equal(quarters(images, targets, (2, 3), count, seed=6).images, found.images)


def test_quarters_need_four_classes() -> None:
    with pytest.raises(ValueError, match="have 3 classes, expected at least 4"):
        quarters(torch.zeros(6, 1, 4, 6), torch.arange(6) % 3, (2, 3), 5)


def test_the_mark_decides_the_class() -> None:
    images = torch.randn(40, 2, 2 * ROWS, 3 * COLS)
    marks = torch.arange(7.0)[:, None, None, None] * 10 + torch.arange(12.0).view(2, 2, 3) + 100
    found = marked(images, marks, (ROWS, COLS), seed=1)
    assert (found.inside.flatten(1).sum(1) == 1).all()
    for index in range(len(images)):
        row, col = found.inside[index].nonzero()[0].tolist()
        patch = found.images[index, :, 2 * row : 2 * row + 2, 3 * col : 3 * col + 3]
        assert torch.equal(patch, marks[found.targets[index]])
        left = found.images[index].clone()
        left[:, 2 * row : 2 * row + 2, 3 * col : 3 * col + 3] = images[
            index, :, 2 * row : 2 * row + 2, 3 * col : 3 * col + 3
        ]
        assert torch.equal(left, images[index])
    assert len(set(found.targets.tolist())) == 7
