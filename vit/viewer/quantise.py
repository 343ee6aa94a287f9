"""Attention weights compressed for a page: one byte per weight, one scale per row, deflated."""

import base64
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = 255  # level of the largest weight of a row; level 0 is exactly 0


def quantise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise `weights` (..., N), not negative, to levels (..., N) uint8 and scales (...) float32.

    A weight is about its level times the scale of its row; the error is at most half a scale, 1/510 of the
    largest weight of the row. Each row has its own scale because rows differ by orders of magnitude: with one
    scale for all, a row that is spread over many tokens would round to zeros beside one with a large weight.
    """
    weights = weights.detach().cpu().double()
    scale = (weights.amax(-1) / LEVELS).float()
    step = scale.double()[..., None]
    levels = torch.where(step > 0, weights / step, 0).round().clamp(0, LEVELS)
    return levels.byte(), scale


def pack(layers: Sequence[Tensor]) -> str:
    """Return the weights of all layers, each (H, N, N), as base64 of one deflated block of bytes.

    The block is all scales (L, H, N), little-endian float32, and then all levels (L, H, N, N), uint8. Scales
    come first so that they are aligned to 4 bytes.
    """
    pairs = [quantise(weights) for weights in layers]
    scales = b"".join(scale.numpy().astype("<f4").tobytes() for _, scale in pairs)
    levels = b"".join(level.numpy().tobytes() for level, _ in pairs)
    return base64.b64encode(zlib.compress(scales + levels, 9)).decode("ascii")
