"""Corrupt images: each one is a function of the seed and its index."""

from zlib import crc32

import torch
from torch import Tensor

from vit.data.randomness import generator
from vit.errors import VitError
from vit.evaluation.corruptions.roster import SEVERITIES, load_corruption


def corrupt(pixels: Tensor, name: str, severity: int, indices: Tensor, *, seed: int = 0) -> Tensor:
    """Corrupt a batch of images.

    Images are corrupted one at a time, with random numbers that depend on (seed, corruption, index) alone: a
    batch equals its single images, and a more severe corruption of an image has the same random numbers.

    At 32 and at 224 pixels the parameters are those that the paper's authors published for CIFAR-10-C and for
    ImageNet-C (`vit.evaluation.corruptions.sizes`). What differs from their images:

    - `frost` has a computed layer of ice crystals instead of photographs of frost.
    - `elastic_transform` has their numbers in rising order, and `glass_blur` at 32 pixels their five settings
      sorted by effect: their own severities do not rise there.
    - All severities of an image share their random numbers; theirs are drawn independently.
    - Filters repeat the border pixels, zooms are about the exact centre, and levels are rounded, not cut.

    Args:
        pixels: uint8 (B, C, height, width), C 1 or 3, on the CPU.
        name: One of `vit.evaluation.corruptions.roster.CORRUPTIONS`.
        severity: 1 to 5.
        indices: int64 (B,), the index of each image in its dataset.
        seed: Decides the random numbers.

    Returns:
        uint8 (B, C, height, width).

    Raises:
        VitError: Another type or shape, or a severity that does not exist.
        UsageError: There is no such corruption.
    """
    function = load_corruption(name)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        actual = f"{pixels.dtype} {tuple(pixels.shape)}"
        raise VitError(f"pixels are {actual}, expected torch.uint8 (B, 1 or 3, height, width)")
    if indices.shape != (len(pixels),):
        raise VitError(f"indices have shape {tuple(indices.shape)}, expected ({len(pixels)},): one per image")
    if severity not in SEVERITIES:
        raise VitError(f"severity is {severity}, expected one of {', '.join(map(str, SEVERITIES))}")
    key = crc32(name.encode())
    result = torch.empty_like(pixels)
    for row, index in enumerate(indices.tolist()):
        image = pixels[row].to(torch.float32) / 255
        changed = function(image, severity, generator(seed, key, index))
        result[row] = changed.mul(255).round_().clamp_(0, 255)
    return result
