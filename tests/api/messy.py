"""A folder of pictures as people have them: many formats, modes and sizes, and one in seven broken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # EXIF
TURNED = 6

Save = Callable[[Image.Image, Path], None]


def _turned(picture: Image.Image, file: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    picture.save(file.with_suffix(".jpg"), exif=exif)


def _truncated(picture: Image.Image, file: Path) -> None:
    file = file.with_suffix(".png")
    picture.save(file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def _deep(picture: Image.Image, file: Path) -> None:
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(file.with_suffix(".png"))


GOOD: tuple[Save, ...] = (
    lambda picture, file: picture.save(file.with_suffix(".png")),
    lambda picture, file: picture.save(file.with_suffix(".jpg"), quality=90),
    lambda picture, file: picture.convert("L").save(file.with_suffix(".png")),
    lambda picture, file: picture.save(file.with_suffix(".bmp")),
    _turned,
    lambda picture, file: picture.convert("P").save(file.with_suffix(".gif")),
    lambda picture, file: picture.convert("RGBA").save(file.with_suffix(".webp"), lossless=True),
    _deep,
    lambda picture, file: picture.convert("CMYK").save(file.with_suffix(".jpg")),
)
BROKEN: tuple[Save, ...] = (
    _truncated,
    lambda picture, file: file.with_suffix(".jpg").touch(),
    lambda picture, file: file.with_suffix(".txt").write_text("taken on Monday\n") and None,
    lambda picture, file: file.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60)) and None,
    lambda picture, file: file.with_suffix(".jpg").write_bytes(bytes(range(256))) and None,
)


def messy_folder(folder: Path, count: int, seed: int = 5) -> Path:
    """A folder of `count` files, some of them in folders below; every seventh is broken."""
    random = np.random.default_rng(seed)
    for number in range(count):
        height, width = random.integers(7, 40, 2).tolist()
        picture = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        place = folder / ("deep" if number % 11 == 3 else ".")
        place.mkdir(parents=True, exist_ok=True)
        kinds = BROKEN if number % 7 == 6 else GOOD
        kinds[number // 7 % len(kinds) if kinds is BROKEN else number % len(kinds)](
            picture, place / f"{number:04d}"
        )
    return folder
