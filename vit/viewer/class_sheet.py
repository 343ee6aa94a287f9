"""A contact sheet of classes: the name of each over a row of its pictures."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vit.errors import VitError
from vit.viewer.colors import INK, PAPER
from vit.viewer.fonts import boxed, font, one_line, shorten
from vit.viewer.sheet import contact_sheet

CELL = 96  # pixels of a side
GAP = 4  # pixels between pictures
TITLE = 24  # pixels of height
LETTERS = 15  # pixels


def class_sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Each class with its title and its pictures, each fitted into 96 x 96 pixels, on one RGB sheet.

    Small pictures are enlarged by a whole number, with square pixels.

    Args:
        rows: Title and pictures of each class; any modes and sizes.

    Raises:
        VitError: There are no rows, or none has a picture.
    """
    longest = max((len(pictures) for _, pictures in rows), default=0)
    if not longest:
        raise VitError("class_sheet was given 0 pictures, expected at least 1")
    return contact_sheet([_row(title, pictures, longest) for title, pictures in rows])


def _row(title: str, pictures: Sequence[Image.Image], longest: int) -> Image.Image:
    row = Image.new("RGB", (longest * (CELL + GAP) - GAP, TITLE + CELL), PAPER)
    letters = boxed(one_line(title))
    face = font(LETTERS, letters)
    ImageDraw.Draw(row).text(
        (0, TITLE / 2), shorten(letters, face, row.width), fill=INK, font=face, anchor="lm"
    )
    for column, picture in enumerate(pictures):
        fitted = _fitted(picture.convert("RGB"))
        left, top = (CELL - fitted.width) // 2, (CELL - fitted.height) // 2
        row.paste(fitted, (column * (CELL + GAP) + left, TITLE + top))
    return row


def _fitted(picture: Image.Image) -> Image.Image:
    factor = CELL / max(picture.size)
    factor = int(factor) if factor >= 2 else factor
    size = (max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))
    return picture.resize(size, Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.LANCZOS)
