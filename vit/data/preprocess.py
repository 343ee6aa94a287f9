"""From an image to the tensor a model sees: resize, centre crop, normalise. Stored with the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import open_image, to_8_bit
from vit.errors import VitError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing of images: resize, centre crop, normalise.

    Args:
        height: Pixels the model sees, top to bottom.
        width: Pixels the model sees, left to right.
        channels: 1 for grey, 3 for RGB.
        mean: Subtracted from each channel, on the scale 0..1.
        std: Divides each channel, on the scale 0..1.
        crop: Fraction of the resized image's side that the centre crop keeps, in (0, 1].
        interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos` or `box`; all of them antialiased.

    Raises:
        VitError: A value is out of range, or `mean` or `std` has not one entry per channel.
    """

    height: int
    width: int
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: float = 1.0
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if self.height < 1 or self.width < 1:
            raise VitError(f"picture size is {self.height} x {self.width}, expected at least 1 x 1")
        if self.channels not in (1, 3):
            raise VitError(f"channels is {self.channels}, expected 1 (grey) or 3 (RGB)")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise VitError(f"{name} has {len(values)} entries, expected {self.channels}: one per channel")
        if min(self.std) <= 0:
            raise VitError(f"std is {self.std}, expected numbers above 0")
        if not 0 < self.crop <= 1:
            raise VitError(f"crop is {self.crop}, expected a fraction in (0, 1]")
        if self.interpolation not in FILTERS:
            raise VitError(f"interpolation is {self.interpolation!r}, expected one of {', '.join(FILTERS)}")

    def __call__(self, image: Image.Image) -> Tensor:
        """An image of any size -> float32 (C, height, width), normalised."""
        return self.normalise(self.pixels(image))

    def read(self, source: Path | bytes) -> Image.Image:
        """The part of an image file that the model sees; a large JPEG is decoded at a reduced scale.

        So its pixels may differ by a few levels from those of `window` on the whole image. Files are read
        with this method everywhere, in training and in prediction.

        Raises:
            DecodeError: The file cannot be read.
        """
        return self.window(open_image(source, min_side=max(self._cover())))

    def _cover(self) -> tuple[int, int]:
        """Height and width that the resized image covers before the centre crop."""
        return int(self.height / self.crop), int(self.width / self.crop)

    def window(self, image: Image.Image) -> Image.Image:
        """The part of the image that the model sees: mode L or RGB, `height` x `width` pixels.

        The image is scaled, its aspect ratio kept, until it just covers `height / crop` x `width / crop`, and
        its centre is cropped. Sizes are rounded as in torchvision's Resize and CenterCrop, so that weights
        trained with them see the same pixels. With `crop` 1, an image that already has the size is not
        changed. 16-bit, transparent and other modes become L or RGB as in `open_image`.
        """
        mode = "L" if self.channels == 1 else "RGB"
        if image.mode != mode:
            image = to_8_bit(image).convert(mode)
        old_width, old_height = image.size
        cover_height, cover_width = self._cover()
        if old_width * cover_height <= old_height * cover_width:
            new_height, new_width = cover_width * old_height // old_width, cover_width
        else:
            new_height, new_width = cover_height, cover_height * old_width // old_height
        top, left = round((new_height - self.height) / 2), round((new_width - self.width) / 2)
        # Crop and resize in one step: a very long image, enlarged as a whole, would not fit in memory.
        down, across = old_height / new_height, old_width / new_width
        right, bottom = (left + self.width) * across, (top + self.height) * down
        box = (left * across, top * down, min(right, old_width), min(bottom, old_height))  # against rounding
        return image.resize((self.width, self.height), FILTERS[self.interpolation], box=box)

    def pixels(self, image: Image.Image) -> Tensor:
        """An image of any size -> uint8 (C, height, width)."""
        return levels(self.window(image))

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (..., C, height, width) -> float32 of the same shape, `(pixels / 255 - mean) / std`."""
        return normalise(pixels, self.mean, self.std)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; `from_dict` reads them back."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """What `to_dict` wrote.

        Raises:
            VitError: A key is unknown or missing.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise VitError(f"preprocess has the unknown keys {unknown}, expected {sorted(known)}")
        if missing := sorted(known - set(values)):
            raise VitError(f"preprocess lacks the keys {missing}, expected {sorted(known)}")
        return cls(**values)


def levels(image: Image.Image) -> Tensor:
    """The pixels of an image in mode L or RGB, uint8 (C, height, width)."""
    array = np.asarray(image)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1).copy())


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Levels 0..255 (..., C, height, width), uint8 or float -> float32 of the same shape and device.

    Raises:
        VitError: `pixels` has not one channel per entry of `mean`.
    """
    if pixels.ndim < 3 or pixels.shape[-3] != len(mean):
        raise VitError(f"pixels have shape {tuple(pixels.shape)}, expected (..., {len(mean)}, height, width)")
    shift = torch.tensor(mean, device=pixels.device).view(-1, 1, 1)
    scale = torch.tensor(std, device=pixels.device).view(-1, 1, 1)
    return (pixels.to(torch.float32) / 255).sub_(shift).div_(scale)


def match_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 (B, 1 or 3, height, width) -> (B, channels, height, width): grey to RGB, or RGB to grey.

    Luma is that of ITU-R 601, rounded as in Pillow, so that a grey RGB image keeps its levels.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    luma = (pixels.int() * torch.tensor([19595, 38470, 7471]).view(3, 1, 1)).sum(1, keepdim=True)
    return (luma + 0x8000 >> 16).to(torch.uint8)
