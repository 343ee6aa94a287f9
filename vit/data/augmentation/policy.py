"""The operations of TrivialAugment and RandAugment, and their strengths."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vit.data.augmentation import photometric
from vit.data.augmentation.geometry import affine

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
BINS = 31  # strengths 0, 1/30, ... 1, as in both papers


@dataclass(frozen=True)
class Limits:
    """Each operation at strength 1.

    Args:
        shear: Horizontal pixels per vertical pixel, and vice versa.
        translate: Largest shift, as a fraction of the side.
        translate_pixels: The same in pixels; the smaller of the two counts.
        rotate: Degrees.
        enhance: Distance of brightness, color, contrast and sharpness from the factor 1.
        posterize: Bits removed.
    """

    shear: float
    translate: float
    translate_pixels: float
    rotate: float
    enhance: float
    posterize: int


# Mueller and Hutter 2021, table 1, "wide": 32 pixels, here at most the whole image.
WIDE = Limits(shear=0.99, translate=1.0, translate_pixels=32.0, rotate=135.0, enhance=0.99, posterize=6)
# Cubuk et al. 2020, with AutoAugment's ranges, which are for images of 331 x 331 pixels.
RAND = Limits(
    shear=0.3, translate=150 / 331, translate_pixels=float("inf"), rotate=30.0, enhance=0.9, posterize=4
)


def draw_operations(u: Tensor, strength: float | None) -> tuple[Tensor, Tensor]:
    """Operations and their signed strengths.

    Args:
        u: (..., 3) in [0, 1): operation, strength, sign.
        strength: 0 to 1 for all; None: draw one of `BINS` strengths.

    Returns:
        int64 (...), the index in `OPERATIONS`, and float32 (...), -1 to 1.
    """
    operation = (u[..., 0] * len(OPERATIONS)).long()
    size = (
        (u[..., 1] * BINS).floor() / (BINS - 1) if strength is None else torch.full_like(u[..., 1], strength)
    )
    return operation, torch.where(u[..., 2] < 0.5, size, -size)


def geometric_maps(operation: Tensor, strength: Tensor, size: tuple[int, int], limits: Limits) -> Tensor:
    """The maps (..., 3, 3) of operations (...), about the centre; the identity for those of colors."""
    height, width = size

    def where(name: str, limit: float) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), strength * limit, 0.0)

    angle = torch.deg2rad(where("rotate", limits.rotate))
    return affine(
        xx=angle.cos(),
        xy=where("shear_x", limits.shear) - angle.sin(),
        yx=where("shear_y", limits.shear) + angle.sin(),
        yy=angle.cos(),
        dx=where("translate_x", min(limits.translate * width, limits.translate_pixels)),
        dy=where("translate_y", min(limits.translate * height, limits.translate_pixels)),
    )


def apply_photometric(levels: Tensor, operation: Tensor, strength: Tensor, limits: Limits) -> Tensor:
    """Apply the photometric operations to levels 0 to 255, float32 (B, C, height, width); ignore others.

    `levels` may be overwritten.
    """

    def own(name: str) -> Tensor:  # bool (B, 1, 1, 1)
        return (operation == OPERATIONS.index(name)).view(-1, 1, 1, 1)

    strength = strength.view(-1, 1, 1, 1)
    factor, size = 1 + strength * limits.enhance, strength.abs()
    color = own("color")
    levels = _change(levels, color | own("sharpness"), _blend_pixels, color, factor)
    # The others change each level by itself. Where one is not chosen, its parameter changes nothing.
    contrast, autocontrast, equalize = own("contrast"), own("autocontrast"), own("equalize")
    blended, posterized, solarized = contrast | own("brightness"), own("posterize"), own("solarize")
    factor = torch.where(blended, factor, 1.0)
    bits = torch.where(posterized, 8 - (size * limits.posterize).round(), 8.0)
    threshold = torch.where(solarized, 255 * (1 - size), 256.0)
    chosen = blended | posterized | solarized | autocontrast | equalize
    return _change(levels, chosen, _look_up, contrast, factor, bits, threshold, autocontrast, equalize)


def _change(values: Tensor, chosen: Tensor, change: Callable[..., Tensor], *others: Tensor) -> Tensor:
    """What belongs to the chosen images replaced by `change(values, *others)`, which treats each by itself.

    On a CPU that is computed for the chosen images only. Elsewhere, and in a compiled step, for all of them:
    to learn which they are, the host would have to wait for the device. The result is the same, and `values`
    may be overwritten by it.

    Args:
        values: (B, ...).
        chosen: bool (B, 1, ...).
        change: From tensors whose first dimension is the images to the new values.
        others: (B, ...).
    """
    if not values.is_cpu or torch.compiler.is_compiling():
        return torch.where(chosen, change(values, *others), values)
    picked = chosen.flatten().nonzero().flatten()
    return values.index_copy_(0, picked, change(values[picked], *(other[picked] for other in others)))


def _blend_pixels(levels: Tensor, color: Tensor, factor: Tensor) -> Tensor:
    """Color, or else sharpness."""
    base = torch.where(color, photometric.grey(levels), photometric.smooth(levels))
    return photometric.blend(base, levels, factor)


def _look_up(
    levels: Tensor,
    contrast: Tensor,
    factor: Tensor,
    bits: Tensor,
    threshold: Tensor,
    autocontrast: Tensor,
    equalize: Tensor,
) -> Tensor:
    """The operations that change each level by itself, as one table for each image and channel."""
    mean = photometric.grey(levels).mean((2, 3), keepdim=True)
    table = torch.arange(256, dtype=torch.float32, device=levels.device)
    table = photometric.blend(torch.where(contrast, mean, 0.0), table, factor)
    table = photometric.solarize(photometric.posterize(table, bits), threshold)[:, 0]  # (B, 1, 256)
    flat = levels.flatten(2)
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    stretched = autocontrast[:, 0] & (low < high)
    ends = torch.where(stretched, low, 0.0), torch.where(stretched, high, 255.0)
    table = photometric.stretch(table, *ends)  # (B, C, 256)
    index = flat.long()
    table = _change(table, equalize[:, 0], lambda _, index: photometric.equalize(index), index)
    return table.gather(2, index).view_as(levels)
