"""Contact sheets: many images on one."""

import math
from collections.abc import Sequence

from PIL import Image

from vit.errors import VitError
from vit.viewer.colors import PAPER

GUTTER = 12  # pixels between images and around the sheet


def contact_sheet(pictures: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Lay `pictures` out in reading order on one white RGB sheet, 12 pixels apart.

    Every cell is as wide as the widest image and as high as the highest; smaller ones are drawn at its top
    left, so that edges line up. `columns` defaults to the number that makes the sheet most nearly square.

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
    rows = math.ceil(len(pictures) / columns)

    step_x, step_y = width + GUTTER, height + GUTTER
    sheet = Image.new("RGB", (GUTTER + columns * step_x, GUTTER + rows * step_y), PAPER)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture.convert("RGB"), (GUTTER + column * step_x, GUTTER + row * step_y))
    return sheet
