"""scikit-learn's own handwritten digits: 1,797 grey images of 8 x 8 pixels, no download."""

from pathlib import Path

import torch

from vit.data.found import Found, ReadOptions
from vit.data.images import Images, TensorImages, resize_images


def read_digits(root: Path | None, options: ReadOptions) -> Found[Images]:
    """All of them, one channel; the levels 0..16 become 0..255.

    Args:
        root: Not used: scikit-learn has the data.
        options: `size` None: 8 x 8.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)[:, None]
    pixels = resize_images(levels, options.geometry((8, 8)))
    names = [f"digits/{i:05d}" for i in range(len(pixels))]
    images = TensorImages(pixels, torch.from_numpy(digits.target), names)
    return Found({"all": images}, [str(digit) for digit in range(10)])
