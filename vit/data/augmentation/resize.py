"""Progressive resizing: small images at the beginning of a run."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import interpolate

from vit.ranges import require


class ProgressiveResize:
    """Images that grow with the progress of the run (Tan and Le 2021, "EfficientNetV2", section 4).

    The cost of a step is proportional to the pixels, and early training needs no detail. The side grows by
    one patch at a time, in equal parts of the run.

    Args:
        start: Side at the beginning over the full side.
        until: Fraction of the run after which images have their full size.
        patch_size: Pixels per patch, (height, width): the sides are multiples of it.

    Raises:
        VitError: A number is out of range.
    """

    def __init__(self, start: float, until: float, patch_size: Sequence[int]):
        require("augment.grow_from", start)
        require("augment.grow_until", until)
        self.start, self.until, self.patch_size = start, until, patch_size

    def __call__(self, images: Tensor, progress: float) -> Tensor:
        """float (B, C, height, width) -> the same images, smaller while `progress`, 0 to 1, is low."""
        return resize(images, self.size(progress, (images.shape[-2], images.shape[-1])))

    def size(self, progress: float, full: tuple[int, int]) -> tuple[int, int]:
        """Height and width at `progress` of images of a full size; a run has few, so a step few graphs."""
        if progress >= self.until:
            return full
        ratio = self.start + (1 - self.start) * progress / self.until
        height, width = (
            max(patch, int(side // patch * ratio + 1e-6) * patch)
            for side, patch in zip(full, self.patch_size, strict=True)
        )
        return height, width


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """float (B, C, height, width) -> images of `size`, antialiased; unchanged if they have it."""
    if tuple(images.shape[-2:]) == size:
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)
