"""Photometric operations on a batch, each image with its own strength.

Every function takes pixel levels, float32 (B, C, height, width) of whole numbers 0 to 255, and one parameter
per image, (B,); it returns whole levels. A factor of 1 changes nothing, 0 removes the property. The
operations are those of Pillow's ImageEnhance and ImageOps, which take one image at a time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _per_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def _blend(base: Tensor, levels: Tensor, factor: Tensor) -> Tensor:
    """`base` at factor 0, `levels` at factor 1, extrapolated above."""
    return torch.lerp(base.expand_as(levels), levels, _per_image(factor)).clamp_(0, 255).round_()


def _grey(levels: Tensor) -> Tensor:
    """(B, C, height, width) -> (B, 1, height, width)."""
    if levels.shape[1] == 1:
        return levels
    luma = torch.tensor(LUMA, device=levels.device).view(1, 3, 1, 1)
    return (levels * luma).sum(1, keepdim=True).round_()


def brightness(levels: Tensor, factor: Tensor) -> Tensor:
    """Towards black, or away from it."""
    return _blend(torch.zeros_like(levels), levels, factor)


def color(levels: Tensor, factor: Tensor) -> Tensor:
    """Towards grey, or away from it; an image of one channel is not changed."""
    return levels if levels.shape[1] == 1 else _blend(_grey(levels), levels, factor)


def contrast(levels: Tensor, factor: Tensor) -> Tensor:
    """Towards the image's mean grey, or away from it."""
    return _blend(_grey(levels).mean((2, 3), keepdim=True), levels, factor)


def sharpness(levels: Tensor, factor: Tensor) -> Tensor:
    """Towards a 3 x 3 smoothing, or away from it; the outermost pixels are not changed."""
    channels, height, width = levels.shape[1:]
    if height < 3 or width < 3:
        return levels
    kernel = torch.ones(channels, 1, 3, 3, device=levels.device)
    kernel[:, :, 1, 1] = 5
    smooth = levels.clone()
    smooth[:, :, 1:-1, 1:-1] = (F.conv2d(levels, kernel, groups=channels) / 13).round_()
    return _blend(smooth, levels, factor)


def posterize(levels: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` bits, 0 to 8, of each level."""
    step = _per_image(2.0 ** (8 - bits))
    return (levels / step).floor_() * step


def solarize(levels: Tensor, threshold: Tensor) -> Tensor:
    """Invert the levels from `threshold` up."""
    return torch.where(levels >= _per_image(threshold), 255 - levels, levels)


def autocontrast(levels: Tensor) -> Tensor:
    """Stretch each channel from its darkest to its brightest level; a constant channel is not changed."""
    low, high = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    scale = torch.where(high > low, 255 / (high - low).clamp(min=1), 1.0)
    return torch.where(high > low, ((levels - low) * scale).round(), levels)


def equalize(levels: Tensor) -> Tensor:
    """Spread each channel so that every range of levels is about equally frequent.

    A level's new value is the number of darker pixels over the pixels per step, in Pillow's integer
    arithmetic: a step is 1/255 of all pixels except those of the brightest level present.
    """
    flat = levels.flatten(2).long()  # (B, C, pixels)
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    brightest = counts.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - brightest) // 255  # (B, C, 1); 0 where there is too little to spread
    darker = counts.cumsum(2) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, table.gather(2, flat), flat).view_as(levels).to(levels.dtype)
