"""What methods share that change the input and read the score."""

from collections.abc import Callable

from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]  # (inputs (n, ...), targets (n,)) -> the targets' scores (n,)


def mean_color(images: Tensor) -> Tensor:
    """Each image's mean color, as an image: (B, C, height, width) -> the same shape."""
    return images.mean((2, 3), keepdim=True).expand_as(images)
