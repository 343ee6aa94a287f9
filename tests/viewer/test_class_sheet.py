"""Contact sheets of classes."""

import pytest
from PIL import Image

from vit.errors import VitError
from vit.viewer.class_sheet import CELL, GAP, TITLE, class_sheet
from vit.viewer.sheet import GUTTER


def test_pictures_keep_their_proportions_and_stand_under_their_title() -> None:
    wide, small = Image.new("RGB", (300, 100), "red"), Image.new("L", (7, 5), 0)
    sheet = class_sheet([("cats (2)", [wide, small]), ("", [wide])])
    row = 2 * CELL + GAP, TITLE + CELL
    assert sheet.mode == "RGB"
    assert sheet.size in (
        (row[0] + 2 * GUTTER, 2 * row[1] + 3 * GUTTER), (2 * row[0] + 3 * GUTTER, row[1] + 2 * GUTTER)
    )  # fmt: skip
    cells = sheet.crop((GUTTER, GUTTER + TITLE, GUTTER + row[0], GUTTER + row[1]))
    red = [cells.getpixel((CELL // 2, y)) == (255, 0, 0) for y in range(CELL)]
    assert sum(red) == CELL // 3
    assert red[CELL // 2]
    black = cells.crop((CELL + GAP, 0, 2 * CELL + GAP, CELL)).convert("L").point(lambda level: level == 0)
    assert black.getbbox() is not None
    left, top, right, bottom = black.getbbox() or (0, 0, 0, 0)
    assert (right - left, bottom - top) == (7 * 13, 5 * 13)  # 13 is the largest whole factor
    title = sheet.crop((GUTTER, GUTTER, GUTTER + row[0], GUTTER + TITLE)).convert("L")
    assert title.getextrema()[0] < 100


@pytest.mark.parametrize("rows", [[], [("empty", [])]])
def test_no_pictures(rows: list[tuple[str, list[Image.Image]]]) -> None:
    with pytest.raises(VitError, match="0 pictures"):
        class_sheet(rows)
