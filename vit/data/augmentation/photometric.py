"""Photometric operations on a batch, each image with its own parameters.

Levels are whole numbers 0 to 255 as float32, in any shape; parameters are tensors that broadcast to it. So
the operations that change each level by itself act on images as they do on a table of all levels, which is
shorter. The operations are those of Pillow's ImageEnhance and ImageOps, which take one image at a time.
"""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def grey(images: Tensor) -> Tensor:
    """(B, C, height, width) -> (B, 1, height, width); an image of one channel is returned as it is."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, i : i + 1] * weight for i, weight in enumerate(LUMA))
    return red.add_(green).add_(blue).round_()


def smooth(images: Tensor) -> Tensor:
    """Mean of 3 x 3 pixels, the middle one with weight 5; (B, C, height, width), the outermost are kept."""
    if min(images.shape[-2:]) < 3:
        return images
    across = (images[..., :-2] + images[..., 2:]).add_(images[..., 1:-1])
    sums = (across[..., :-2, :] + across[..., 2:, :]).add_(across[..., 1:-1, :])
    sums.add_(images[..., 1:-1, 1:-1], alpha=4)  # whole numbers: exact in any order
    result = images.clone()
    result[..., 1:-1, 1:-1] = sums.div_(13).round_()
    return result


def blend(base: Tensor, levels: Tensor, factor: Tensor) -> Tensor:
    """`base` at factor 0, `levels` at factor 1, exactly, and extrapolated above.

    Brightness has the base 0, contrast the mean of `grey`, color `grey`, and sharpness `smooth`.
    """
    return torch.lerp(base, levels, factor).clamp_(0, 255).round_()


def posterize(levels: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` bits, 0 to 8, of each level."""
    step = 2.0 ** (8 - bits)
    return (levels / step).floor_() * step


def solarize(levels: Tensor, threshold: Tensor) -> Tensor:
    """Invert the levels from `threshold` up; 256 inverts none."""
    return torch.where(levels >= threshold, 255 - levels, levels)


def stretch(levels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Autocontrast: spread the levels from `low` to `high`, which differ, over 0 to 255."""
    return ((levels - low) * (255 / (high - low))).round_()


def equalize(index: Tensor) -> Tensor:
    """The table of levels after which every range of them is about equally frequent.

    A level's new value is the number of darker pixels over the pixels per step, in Pillow's integer
    arithmetic: a step is 1/255 of all pixels except those of the brightest level present. Where there is too
    little to spread, nothing changes.

    Args:
        index: Levels as int64 (B, C, pixels).

    Returns:
        float32 (B, C, 256).
    """
    counts = torch.zeros((*index.shape[:2], 256), dtype=torch.int32, device=index.device)
    counts.scatter_add_(2, index, torch.ones_like(index, dtype=torch.int32))
    through = counts.cumsum(2, dtype=torch.int32)
    step = (through[..., -1:] - counts.gather(2, index.amax(2, keepdim=True))) // 255
    rounded = (through - counts).add_(step // 2)
    table = torch.div(rounded, step.clamp(min=1), rounding_mode="trunc").clamp_(max=255)
    unchanged = torch.arange(256, dtype=torch.int32, device=index.device)
    return torch.where(step > 0, table, unchanged).to(torch.float32)
