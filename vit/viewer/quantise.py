"""Attention weights small enough for a page: one byte per weight, one scale per row, deflated."""

import base64
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = 255  # the largest weight of a row; 0 is exactly 0


def quantise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return `weights` (..., N), not negative, as levels (..., N) uint8 and scales (...) float32.

    A weight is its level times its row's scale, wrong by at most half a scale: 1/510 of the row's largest
    weight. Each row has its own scale because rows differ by orders of magnitude: a row that looks at one
    token would leave a spread-out one no levels at all.
    """
    weights = weights.detach().double().cpu()
    scale = (weights.amax(-1) / LEVELS).float()
    step = scale.double()[..., None]
    levels = torch.where(step > 0, weights / step, 0).round().clamp(0, LEVELS)
    return levels.byte(), scale


def pack(layers: Sequence[Tensor]) -> str:
    """Return the weights of all layers, each (H, N, N), as base64 of one deflated block of bytes.

    The block is all scales (L, H, N), little-endian float32, and then all levels (L, H, N, N), uint8. Scales
    come first, so that they are aligned for whoever reads them in place.
    """
    pairs = [quantise(weights) for weights in layers]
    scales = b"".join(scale.numpy().astype("<f4").tobytes() for _, scale in pairs)
    levels = b"".join(level.numpy().tobytes() for level, _ in pairs)
    return base64.b64encode(zlib.compress(scales + levels, 9)).decode("ascii")
