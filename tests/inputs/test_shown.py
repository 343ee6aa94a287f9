"""Whole pictures that come with the pixels that a model sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.preprocess import Preprocess
from vit.inputs.files import Entry
from vit.inputs.images import ImageReader
from vit.inputs.shown import shown

CPU = torch.device("cpu")
ROTATED = 6  # EXIF: stored pixels have to be turned by 90 degrees clockwise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    wide = Image.fromarray(rng.integers(0, 256, (60, 200, 3), dtype=np.uint8))
    wide.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    wide.save(tmp_path / "b.jpg", exif=exif)
    (tmp_path / "c.png").write_bytes(b"no picture")
    Image.fromarray(rng.integers(0, 256, (9, 7), dtype=np.uint8)).save(tmp_path / "d.png")
    return tmp_path


def read(folder: Path, side: int | None) -> list:
    entries = [Entry(file.name, file) for file in sorted(folder.iterdir())]
    with ImageReader(Preprocess(32, 32), 8, device=CPU, shown=side) as reader:
        return next(iter(reader.read(entries)))


def test_the_whole_picture_comes_upright_and_with_its_size(folder: Path) -> None:
    plain, with_pictures = read(folder, None), read(folder, 100)
    assert [item.status for item in with_pictures] == ["ok", "ok", "not_an_image", "ok"]
    for one, other in zip(plain, with_pictures, strict=True):
        assert one.shown is None
        assert torch.equal(one.pixels, other.pixels)
    wide, turned, broken, tiny = (item.shown for item in with_pictures)
    assert (wide.height, wide.width) == (60, 200)
    assert wide.picture.shape == (30, 100, 3)
    assert (turned.height, turned.width) == (200, 60)
    assert turned.picture.shape == (100, 30, 3)
    assert broken is None
    assert (tiny.height, tiny.width) == (9, 7)
    assert np.array_equal(tiny.picture, np.array(Image.open(folder / "d.png")))


def test_a_picture_made_smaller_is_the_picture() -> None:
    ramp = np.linspace(0, 255, 4000).astype(np.uint8)
    found = shown(Image.fromarray(np.broadcast_to(ramp, (50, 4000)).copy()), 500)
    assert found.picture.shape == (6, 500)
    assert np.abs(found.picture[3].astype(int) - ramp[4::8]).max() <= 1


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 5000), (1, 100)), ((5000, 1), (100, 1)), ((3, 2), (3, 2))]
)
def test_no_side_vanishes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shown(Image.new("L", size), 100).picture.shape == expected[::-1]
