"""Random erasing."""

import torch
from torch import Tensor

LOG_RATIO = torch.tensor(10 / 3).log().item()  # in float32


def random_erasing(images: Tensor, u: Tensor, probability: float) -> Tensor:
    """Zero one rectangle of 2 to 33 % of the area, sides 3:10 to 10:3 (Zhong et al. 2020, algorithm 1).

    A rectangle larger than the image is cut to it, where the paper draws again.

    Args:
        images: float (B, C, height, width), normalised: 0 is the mean.
        u: (B, 5) in [0, 1): whether to erase, area, aspect ratio, vertical and horizontal position.
        probability: Probability that an image loses a rectangle.
    """
    height, width = images.shape[-2:]
    area = (0.02 + 0.31 * u[:, 1]) * height * width
    root = ((u[:, 2] * 2 - 1) * LOG_RATIO / 2).exp()  # sqrt of width over height
    tall = (area.sqrt() / root).round().clamp(1, height)
    wide = (area.sqrt() * root).round().clamp(1, width)
    top = (u[:, 3] * (height - tall + 1)).floor()
    left = (u[:, 4] * (width - wide + 1)).floor()
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    in_rows = (y >= top[:, None]) & (y < (top + tall)[:, None])  # (B, height)
    in_cols = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (B, width)
    hole = in_rows[:, :, None] & in_cols[:, None, :] & (u[:, 0] < probability)[:, None, None]
    return images.masked_fill(hole[:, None], 0.0)
