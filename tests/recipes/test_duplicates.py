"""Exact and near duplicates, against a comparison of each with each."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.decode import open_image
from vit.data.images import TensorImages
from vit.data.preprocess import Preprocess
from vit.recipes.inspection.duplicates import (
    CORRELATION,
    DISTANCE,
    alike,
    equal,
    fingerprints,
    pixel_digests,
    text_key,
)
from vit.recipes.inspection.picture_sizes import crop_losses, picture_size


def clustered(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes a few bits from one of some centres, and thumbnails that correlate more or less."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, 11, dtype=np.uint64)
    hashes = centres[rng.integers(0, 11, n)]
    for row in range(n):
        for bit in rng.choice(64, rng.integers(0, 6), replace=False):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    values = rng.normal(size=(3, 256))[rng.integers(0, 3, n)] + rng.normal(size=(n, 256)) * 0.2
    values -= values.mean(1, keepdims=True)
    return hashes, (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_alike_finds_what_a_comparison_of_all_pairs_finds(seed: int) -> None:
    n = 307
    hashes, thumbnails = clustered(n, seed)
    parts = np.random.default_rng(seed).integers(-1, 3, n)
    distance = np.array([[int(a ^ b).bit_count() for b in hashes.tolist()] for a in hashes.tolist()])
    pairs = (distance <= DISTANCE) & (thumbnails @ thumbnails.T >= CORRELATION)
    np.fill_diagonal(pairs, False)
    pairs[parts < 0] = pairs[:, parts < 0] = False
    found = alike(hashes, thumbnails, parts)
    assert found.shape == (n, 3)
    assert 100 < pairs.sum() < n * n / 4
    for part in range(3):
        expected = (pairs & (parts == part)).any(1)
        np.testing.assert_array_equal(found[:, part] >= 0, expected)
        for index in np.flatnonzero(expected):
            partner = found[index, part]
            assert parts[partner] == part
            assert pairs[index, partner]


def test_many_pictures_that_all_look_alike_do_not_take_a_comparison_of_each_with_each() -> None:
    n = 10_007
    thumbnails = np.full((n, 256), 1 / 16, np.float32)
    before = time.perf_counter()
    found = alike(np.zeros(n, np.uint64), thumbnails, np.arange(n) % 2)
    assert (found >= 0).all()
    assert time.perf_counter() - before < 5


def test_no_pictures() -> None:
    empty = alike(np.empty(0, np.uint64), np.empty((0, 256), np.float32), np.empty(0, np.int64))
    assert empty.shape == (0, 0)
    assert equal([], np.empty(0, np.int64)).shape == (0, 0)


def test_equal_names_another_example_of_each_part() -> None:
    keys = ["a", "b", "a", "c", "a", "b", "c"]
    parts = np.array([0, 0, 0, 1, 1, -1, 1])
    assert equal(keys, parts).tolist() == [[2, 4], [-1, -1], [0, 4], [-1, 6], [0, -1], [-1, -1], [-1, 3]]


def scene(seed: int, height: int = 151, width: int = 151) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def read(*pictures: Image.Image | Path) -> TensorImages:
    preprocess = Preprocess(64, 64)
    pixels = torch.stack([preprocess.pixels(picture) for picture in pictures])
    return TensorImages(pixels, torch.zeros(len(pictures)), [str(i) for i in range(len(pictures))])


def test_a_picture_that_was_saved_again_made_smaller_or_turned_by_exif_looks_alike(tmp_path: Path) -> None:
    original = scene(0)
    original.save(tmp_path / "again.jpg", quality=50)
    original.resize((89, 89)).save(tmp_path / "smaller.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = original.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.jpg", exif=exif)
    brighter = original.point(lambda level: min(level * 0.8 + 40, 255))
    copies = [tmp_path / "again.jpg", tmp_path / "smaller.png", tmp_path / "turned.jpg", brighter]
    others = [turned, *(scene(seed) for seed in range(1, 8))]
    images = read(original, *copies, *others)
    hashes, thumbnails = fingerprints(images)
    found = alike(hashes, thumbnails, np.zeros(len(images), np.int64))
    assert (found[:, 0] >= 0).tolist() == [True] * 5 + [False] * len(others)


def test_pictures_that_show_nothing_are_no_near_duplicates() -> None:
    images = read(*(Image.new("RGB", (40, 40), (level,) * 3) for level in (0, 0, 255)))
    hashes, thumbnails = fingerprints(images)
    assert (alike(hashes, thumbnails, np.zeros(3, np.int64)) == -1).all()
    digests = pixel_digests(images)
    assert digests[0] == digests[1] != digests[2]


def test_grey_pictures_and_rgb_ones_have_the_same_fingerprint() -> None:
    pixels = torch.randint(0, 256, (3, 1, 23, 29), dtype=torch.uint8)
    names = ["a", "b", "c"]
    grey = fingerprints(TensorImages(pixels, torch.zeros(3), names))
    rgb = fingerprints(TensorImages(pixels.expand(-1, 3, -1, -1), torch.zeros(3), names))
    np.testing.assert_array_equal(grey[0], rgb[0])
    np.testing.assert_allclose(grey[1], rgb[1], atol=1e-6)


def test_texts_that_differ_in_case_and_signs_have_one_key() -> None:
    assert text_key("  A fine,  FILM!") == text_key("a fine film") != text_key("a fine films")
    assert text_key("!?") != text_key("...")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (31, 53)), (3, (31, 53)), (6, (53, 31))])
def test_sizes_are_those_of_upright_pictures(
    tmp_path: Path, suffix: str, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"picture.{suffix}"
    scene(0, 31, 53).save(file, exif=exif)
    assert picture_size(file) == size == open_image(file).size[::-1]
    file.write_bytes(b"no picture")
    assert picture_size(file) is None


def test_crop_losses() -> None:
    sizes = np.array([(100, 100), (50, 100), (100, 50), (30, 20)])
    np.testing.assert_allclose(crop_losses(sizes, 64, 64), [0, 0.5, 0.5, 1 / 3])
    np.testing.assert_allclose(crop_losses(sizes, 32, 64), [0.5, 0, 0.75, 2 / 3])
