"""Geometric operations on a batch: affine maps, composed first and sampled once.

Maps are float32 (B, 3, 3), from a pixel of the result to its source, as coordinates (x, y, 1) in pixels from
the centre. The composition of operations is a product of maps, with the first operation leftmost.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_RATIO = torch.tensor(4 / 3).log().item()  # in float32


def affine(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """The map x' = xx x + xy y + dx, y' = yx x + yy y + dy; each coefficient (...). -> (..., 3, 3)."""
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    return torch.stack((xx, xy, dx, yx, yy, dy, zero, zero, one), dim=-1).unflatten(-1, (3, 3))


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The map of `first` followed by `second`: the matrix product, (B, 3, 3).

    Not `@`, because a matrix product on a GPU may round to 10 bits (TF32): half a pixel at 1,000.
    """
    return (first[:, :, :, None] * second[:, None, :, :]).sum(2)


def random_box(u: Tensor, scale: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """The maps (B, 3, 3) of a random resized crop (Szegedy et al. 2015, section 6), sides 3:4 to 4:3.

    A box larger than the image is cut to it, where other implementations draw again.

    Args:
        u: (B, 4) in [0, 1): area, aspect ratio, vertical and horizontal position.
        scale: Smallest and largest area, as fractions of the image.
        size: Height and width.
    """
    height, width = size
    area = scale[0] + (scale[1] - scale[0]) * u[:, 0]
    root = ((u[:, 1] * 2 - 1) * LOG_RATIO / 2).exp()  # sqrt of width over height
    tall = (area.sqrt() / root * (height * width) ** 0.5 / height).clamp(max=1)
    wide = (area.sqrt() * root * (height * width) ** 0.5 / width).clamp(max=1)
    dy = (u[:, 2] - 0.5) * (1 - tall) * height
    dx = (u[:, 3] - 0.5) * (1 - wide) * width
    zero = torch.zeros_like(dx)
    return affine(wide, zero, zero, tall, dx, dy)


def warp(levels: Tensor, maps: Tensor) -> Tensor:
    """Apply one map to each image: bilinear, black outside, rounded to whole levels.

    Args:
        levels: float32 (B, C, height, width), 0 to 255.
        maps: (B, 3, 3).
    """
    height, width = levels.shape[-2:]
    x = torch.arange(width, device=levels.device) + (0.5 - width / 2)
    y = torch.arange(height, device=levels.device) + (0.5 - height / 2)
    grid = [  # x, then y, each (B, height, width), -1 to 1
        ((x * row[:, :1])[:, None] + (y * row[:, 1:2])[:, :, None]).add_(row[:, 2:, None]).div_(side / 2)
        for row, side in zip(maps.unbind(1), (width, height), strict=False)
    ]
    warped = F.grid_sample(
        levels, torch.stack(grid, 1).permute(0, 2, 3, 1), padding_mode="zeros", align_corners=False
    )
    return warped.round_()


def shift_and_flip(pixels: Tensor, dy: Tensor, dx: Tensor, mirror: Tensor) -> Tensor:
    """Shift by whole pixels, then mirror left to right, without interpolation; black outside.

    Args:
        pixels: (B, C, height, width), of any dtype.
        dy, dx: int64 (B,): row y of the shifted image is row y + dy of the source; columns likewise.
        mirror: bool (B,).
    """
    batch, channels, height, width = pixels.shape
    rows = torch.arange(height, device=pixels.device) + dy[:, None]  # (B, height)
    cols = torch.arange(width, device=pixels.device).expand(batch, width)
    cols = torch.where(mirror[:, None], width - 1 - cols, cols) + dx[:, None]  # (B, width)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
    source = rows.clamp(0, height - 1)[:, :, None] * width + cols.clamp(0, width - 1)[:, None, :]
    source = source.view(batch, 1, height * width).expand(-1, channels, -1)
    result = pixels.flatten(2).gather(2, source).view_as(pixels)
    return result * inside[:, None].to(result.dtype)
