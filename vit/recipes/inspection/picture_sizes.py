"""Sizes of pictures, from the heads of their files, and what a centre crop cuts away of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from vit.data.decode import FORMATS, ORIENTATION, open_image
from vit.errors import VitError

Size = tuple[int, int]  # height and width
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


def picture_size(path: Path) -> Size | None:
    """Height and width of a picture, as its EXIF turns it; None: it cannot be read.

    No pixel is decoded, except of HEIF. It takes 0.1 ms, most of it in the interpreter, so that threads would
    wait for each other.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            return (width, height) if _orientation(image) in TURNED else (height, width)
    except Exception:  # HEIF, which Pillow does not open, or whatever a damaged file makes Pillow raise
        return _decoded_size(path)


def crop_losses(sizes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The share of each picture's area that is lost where its centre is cropped to other proportions.

    Args:
        sizes: (n, 2), heights and widths.
        height: Of the proportions.
        width: Likewise.

    Returns:
        float64 (n,), in [0, 1).
    """
    ratio = (sizes[:, 0] * width) / (sizes[:, 1] * height)
    return 1 - np.minimum(ratio, 1 / ratio)


def _orientation(image: Image.Image) -> int:
    """From what has been read of a file."""
    if image.format == "TIFF":  # Pillow gives the upright size
        return 1
    if image.format == "PNG" and "exif" not in image.info:  # `getexif` would decode the picture to find it
        return 1
    return image.getexif().get(ORIENTATION, 1)


def _decoded_size(path: Path) -> Size | None:
    try:
        width, height = open_image(path).size
    except VitError:
        return None
    return height, width
