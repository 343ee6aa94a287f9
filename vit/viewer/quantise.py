"""Attention weights compressed for a page: one byte per weight, one scale per row, deflated."""

import base64
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = 255  # level of the largest weight of a row; level 0 is exactly 0
DEFLATE = 6  # effort: 9 takes twice the time for a percent


def quantise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise `weights` (..., N), not negative, to levels (..., N) uint8 and scales (...) float32.

    A weight is about the square of its level times the scale of its row. Squares give small weights finer
    steps: where one token takes nearly all of a row, the others keep their differences. Of a row whose
    largest weight is 1, a weight w is wrong by at most sqrt(w) / 255 + 1 / 510**2. Each row has its own scale
    because rows differ by orders of magnitude.
    """
    weights = weights.detach().cpu().float()
    scale = weights.amax(-1) / LEVELS**2
    step = scale[..., None]
    levels = torch.where(step > 0, weights / step, 0).sqrt().round().clamp(0, LEVELS)
    return levels.byte(), scale


def pack(layers: Sequence[Tensor]) -> str:
    """Return the weights of all layers, each (H, N, N), as base64 of one deflated block of bytes.

    The block is all scales (L, H, N), little-endian float32, and then all levels (L, H, N, N), uint8. Scales
    come first so that they are aligned to 4 bytes.
    """
    pairs = [quantise(weights) for weights in layers]
    scales = b"".join(scale.numpy().astype("<f4").tobytes() for _, scale in pairs)
    levels = b"".join(level.numpy().tobytes() for level, _ in pairs)
    return base64.b64encode(zlib.compress(scales + levels, DEFLATE)).decode("ascii")
