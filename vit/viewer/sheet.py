"""Contact sheets: many images on one."""

import math
from collections.abc import Sequence

from PIL import Image

from vit.errors import VitError
from vit.viewer.colors import PAPER

GUTTER = 12  # pixels between images and around the sheet


def contact_sheet(pictures: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Lay `pictures` out in reading order on one white RGB sheet, 12 pixels apart.

    Every cell is as wide as the widest image, and every row as high as its highest; smaller ones are drawn at
    the top left, so that edges line up. `columns` defaults to the number that makes the sheet most nearly
    square.

    Raises:
        VitError: `pictures` is empty, or `columns` is less than 1.
    """
    if not pictures:
        raise VitError("contact_sheet was given 0 pictures, expected at least 1")
    if columns is not None and columns < 1:
        raise VitError(f"contact_sheet has columns={columns}, expected at least 1")
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    if columns is None:
        columns = round(math.sqrt(len(pictures) * height / width))
    columns = min(max(columns, 1), len(pictures))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    across = GUTTER + columns * (width + GUTTER)
    sheet = Image.new("RGB", (across, GUTTER + sum(heights) + len(rows) * GUTTER), PAPER)
    top = GUTTER
    for row, high in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture.convert("RGB"), (GUTTER + column * (width + GUTTER), top))
        top += high + GUTTER
    return sheet
