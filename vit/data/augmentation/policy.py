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
    """One operation and its signed strength for each image.

    Args:
        u: (B, 3) in [0, 1): operation, strength, sign.
        strength: 0 to 1 for all; None: draw one of `BINS` strengths.

    Returns:
        int64 (B,), the index in `OPERATIONS`, and float32 (B,), -1 to 1.
    """
    operation = (u[:, 0] * len(OPERATIONS)).long()
    size = (u[:, 1] * BINS).floor() / (BINS - 1) if strength is None else torch.full_like(u[:, 1], strength)
    return operation, torch.where(u[:, 2] < 0.5, size, -size)


def geometric_maps(operation: Tensor, strength: Tensor, size: tuple[int, int], limits: Limits) -> Tensor:
    """The maps (B, 3, 3) of the geometric operations, about the centre; for others the identity."""
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
    """Apply the photometric operations to levels 0 to 255, float32 (B, C, height, width); ignore others."""
    factor = 1 + strength * limits.enhance
    size = strength.abs()
    changes: tuple[tuple[Callable[..., Tensor], Tensor | None], ...] = (
        (photometric.brightness, factor),
        (photometric.color, factor),
        (photometric.contrast, factor),
        (photometric.sharpness, factor),
        (photometric.posterize, 8 - (size * limits.posterize).round()),
        (photometric.solarize, 255 * (1 - size)),
        (photometric.autocontrast, None),
        (photometric.equalize, None),
    )
    levels = levels.clone()
    for change, parameter in changes:
        chosen = (operation == OPERATIONS.index(change.__name__)).nonzero().flatten()
        if len(chosen):
            extra = () if parameter is None else (parameter[chosen],)
            levels[chosen] = change(levels[chosen], *extra)
    return levels
