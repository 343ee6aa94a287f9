"""scikit-learn's own handwritten digits: 1,797 grey images of 8 x 8 pixels, no download."""

from pathlib import Path

import torch

from vit.data.images import Images, Skipped, TensorImages, resize_images


def read_digits(
    root: Path | None, *, size: tuple[int, int] | None, memory_gb: float
) -> tuple[dict[str, Images], list[str], Skipped]:
    """All of them as train, one channel; the levels 0..16 become 0..255.

    Args:
        root: Not used: scikit-learn has the data.
        size: Height and width; None: 8 x 8.
        memory_gb: Not used: the images are few.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)[:, None]
    pixels = resize_images(levels, size or (8, 8))
    names = [f"digits/{i:05d}" for i in range(len(pixels))]
    images = TensorImages(pixels, torch.from_numpy(digits.target), names)
    return {"train": images}, [str(digit) for digit in range(10)], []
