"""The folder of `vit data --output`: files.csv, and, of pictures, contact_sheet.png."""

import csv
import io
from pathlib import Path
from typing import Any

from PIL import Image

from vit.atomic import replacing, write_text
from vit.data.decode import DecodeError, open_image
from vit.data.images import evenly_spaced
from vit.data.texts import RawTexts
from vit.errors import VitError
from vit.recipes.inspection.inspect import Example, Inspection
from vit.viewer.class_sheet import CELL, class_sheet

COLUMNS = (
    "part", "path", "label", "status", "sha256", "width", "height", "duplicate_of", "near_duplicate_of",
)  # fmt: skip
PICTURES = 8  # of a class on the sheet
CLASSES = 100  # on the sheet


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something already.

    Raises:
        VitError: It is a file, or not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder: choose another name")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise VitError(f"{folder} is not empty: --overwrite replaces files.csv and contact_sheet.png in it")


def write_inspection(folder: Path, inspection: Inspection) -> None:
    """Write the files, each atomically.

    `files.csv` has a row for each example, and for each file that was skipped, whose status is the reason;
    the part is the one in training, and empty for what training leaves out.

    Raises:
        VitError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitError(f"{folder} cannot be made: {error.strerror or error}") from None
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_row, inspection.examples))
    for name, reason in inspection.found.skipped:
        writer.writerow(["", name, "", reason, "", "", "", "", ""])
    # A name that is not UTF-8 has lone surrogates, which a text file cannot hold.
    text = stream.getvalue().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    write_text(folder / "files.csv", text)
    if not isinstance(next(iter(inspection.found.parts.values())), RawTexts):
        with replacing(folder / "contact_sheet.png") as temporary:
            _sheet(inspection).save(temporary, "PNG")


def _row(example: Example) -> list[Any]:
    height, width = example.size or ("", "")
    status = "ok" if example.part else "left out"
    repeats = (example.duplicate_of, example.near_duplicate_of)
    return [example.part, example.name, example.label, status, example.digest, width, height, *repeats]


def _sheet(inspection: Inspection) -> Image.Image:
    """A few pictures of each class, evenly spaced over it."""
    members: dict[str, list[int]] = {}
    for index, example in enumerate(inspection.examples):
        members.setdefault(example.label, []).append(index)
    rows = []
    for label in sorted(members)[:CLASSES]:
        own = members[label]
        chosen = [own[place] for place in evenly_spaced(len(own), PICTURES).tolist()]
        rows.append((f"{label} ({len(own):,})", [_picture(inspection, index) for index in chosen]))
    if len(members) > CLASSES:
        rows[-1] = (f"{rows[-1][0]}; {len(members) - CLASSES:,} more classes are not drawn", rows[-1][1])
    return class_sheet(rows)


def _picture(inspection: Inspection, index: int) -> Image.Image:
    """The whole picture from its file, or, where it has none of its own, the pixels that were read."""
    path = inspection.examples[index].path
    if path is not None:
        try:
            return open_image(path, min_side=CELL)
        except DecodeError:  # it was removed since
            pass
    for images in inspection.found.parts.values():
        if index < len(images):
            pixels = images[[index]][0][0]  # (C, height, width)
            array = pixels.permute(1, 2, 0).numpy()
            return Image.fromarray(array[:, :, 0] if pixels.shape[0] == 1 else array)
        index -= len(images)
    raise IndexError(index)
