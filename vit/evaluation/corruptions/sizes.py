"""Parameters of a corruption for the size of an image.

The authors of the paper published parameters for 32 pixels (CIFAR-10-C) and for 224 (ImageNet-C). For a
shorter side between them, parameters are interpolated, linearly over the logarithm of the side. Above 224
they stay, and lengths in pixels grow with the side; below 32 all stay.
"""

import math
from collections.abc import Sequence

from torch import Tensor

SMALL, LARGE = 32, 224


def parameter(image: Tensor, severity: int, small: Sequence[float], large: Sequence[float]) -> float:
    """A number for an image (C, height, width).

    Args:
        image: Its size counts.
        severity: 1 to 5.
        small: The number at each severity for 32 pixels.
        large: Likewise for 224.
    """
    share = math.log(_side(image) / SMALL) / math.log(LARGE / SMALL)
    share = min(max(share, 0.0), 1.0)
    return (1 - share) * small[severity - 1] + share * large[severity - 1]


def parameters(
    image: Tensor, severity: int, small: Sequence[Sequence[float]], large: Sequence[Sequence[float]]
) -> list[float]:
    """Several numbers for an image; `small` and `large` have a row for each severity."""
    columns = zip(zip(*small, strict=True), zip(*large, strict=True), strict=True)
    return [parameter(image, severity, *pair) for pair in columns]


def length_scale(image: Tensor) -> float:
    """What lengths in pixels are multiplied by."""
    return max(_side(image) / LARGE, 1.0)


def _side(image: Tensor) -> int:
    return min(image.shape[-2:])
