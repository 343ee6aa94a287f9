"""The part of a picture that a model sees, against the pixels that it gets."""

import itertools

import numpy as np
import pytest

from vit.data.preprocess import LIBRARIES, Preprocess

# Height and width of pictures: wide, tall, tiny, as large as the window, very long.
SIZES = [(97, 151), (211, 61), (19, 32), (48, 80), (13, 251), (250, 40)]
WINDOWS = [(48, 80), (64, 64)]
CASES = [
    (resize, crop, follows, window, size)
    for resize, crop, follows in itertools.product(("crop", "squash", "pad"), (1.0, 0.875), LIBRARIES)
    for window, size in itertools.product(WINDOWS, SIZES)
]


@pytest.mark.parametrize(("resize", "crop", "follows", "window", "size"), CASES)
def test_a_ramp_says_where_each_pixel_comes_from(resize, crop, follows, window, size):
    """Each pixel of the picture has its own position as its level, up to 250."""
    height, width = size
    preprocess = Preprocess(
        *window, channels=1, mean=(0.5,), std=(0.5,), resize=resize, crop=crop, follows=follows,
        interpolation="bilinear", fill=(255,),
    )  # fmt: skip
    left, top, right, bottom = preprocess.seen(height, width)
    for axis, (start, end, length, count) in enumerate(
        ((left, right, width, window[1]), (top, bottom, height, window[0]))
    ):
        ramp = np.arange(length, dtype=np.uint8)
        pixels = np.broadcast_to(ramp[None] if axis == 0 else ramp[:, None], (height, width))
        seen = np.asarray(preprocess.read(np.ascontiguousarray(pixels))).astype(float)
        middle = seen[window[0] // 2] if axis == 0 else seen[:, window[1] // 2]
        centres = start + (np.arange(count) + 0.5) * (end - start) / count  # in pixels of the picture
        pitch = (end - start) / count
        inside = (centres > 1 + 1.5 * pitch) & (centres < length - 1 - 1.5 * pitch)
        if axis == 0 or resize != "pad":  # a long picture, padded, may have three rows
            assert inside.any()
        assert (
            not inside.any() or np.abs(middle - (centres - 0.5))[inside].max() <= 0.5 * max(pitch, 1) + 0.51
        )


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(300, 451), (427, 200), (20, 32)])
def test_a_marked_pixel_is_where_the_box_says(resize, size):
    height, width = size
    preprocess = Preprocess(224, 224, channels=1, mean=(0.5,), std=(0.5,), resize=resize, fill=(0,))
    left, top, right, bottom = preprocess.seen(height, width)
    for share_down, share_across in [(0.5, 0.5), (0.3, 0.4), (0.8, 0.65)]:
        row = int(max(top, 0) + share_down * (min(bottom, height) - max(top, 0)))
        col = int(max(left, 0) + share_across * (min(right, width) - max(left, 0)))
        pixels = np.zeros(size, dtype=np.uint8)
        pixels[row, col] = 255
        seen = np.asarray(preprocess.read(pixels)).astype(float)
        down, across = np.indices(seen.shape) + 0.5
        found = (seen * down).sum() / seen.sum(), (seen * across).sum() / seen.sum()
        expected = (
            224 * (row + 0.5 - top) / (bottom - top),
            224 * (col + 0.5 - left) / (right - left),
        )
        assert found == pytest.approx(expected, abs=0.6)


def test_a_window_that_is_the_picture():
    assert Preprocess(32, 32).seen(32, 32) == (0, 0, 32, 32)
    assert Preprocess(32, 32).seen(64, 96) == (16, 0, 80, 64)
    assert Preprocess(32, 32, resize="squash").seen(64, 96) == (0, 0, 96, 64)


def test_a_border_lies_outside_the_picture():
    left, top, right, bottom = Preprocess(30, 30, resize="pad").seen(100, 300)
    assert (left, right) == (0, 300)
    assert (top, bottom) == (-100, 200)
