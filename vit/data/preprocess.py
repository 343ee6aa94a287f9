"""From a picture to the tensor a model sees: resize, centre crop, normalise. Travels with the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import open_picture, to_8_bit
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
    """What happens to a picture before a model sees it.

    Args:
        height: Pixels the model sees, top to bottom.
        width: Pixels the model sees, left to right.
        channels: 1 for grey, 3 for RGB.
        mean: Subtracted from each channel, on the scale 0..1.
        std: Divides each channel, on the scale 0..1.
        crop: Part of the resized picture's side that the centre crop keeps, in (0, 1].
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

    def __call__(self, picture: Image.Image) -> Tensor:
        """A picture of any size -> float32 (C, height, width), normalised."""
        return self.normalise(self.pixels(picture))

    def read(self, source: Path | bytes) -> Image.Image:
        """The part of a picture file that the model sees; a large JPEG is decoded no larger than needed.

        So its pixels may differ by a few levels from those of `window` on the whole picture: at every place
        where files are read it is this one, in training and prediction alike.

        Raises:
            DecodeError: The file cannot be read.
        """
        return self.window(open_picture(source, enough=max(self._cover())))

    def _cover(self) -> tuple[int, int]:
        """Height and width that the resized picture covers before its centre is cropped."""
        return int(self.height / self.crop), int(self.width / self.crop)

    def window(self, picture: Image.Image) -> Image.Image:
        """The part of the picture that the model sees: mode L or RGB, `height` x `width` pixels.

        The picture is scaled, its aspect ratio kept, until it just covers `height / crop` x `width / crop`,
        and its centre is kept. Sizes are rounded as torchvision's Resize and CenterCrop round them, so that
        weights trained there see the same pixels here. With `crop` 1, a picture that already has the size
        is left as it is. Deep, transparent and other modes become L or RGB as in `open_picture`.
        """
        mode = "L" if self.channels == 1 else "RGB"
        if picture.mode != mode:
            picture = to_8_bit(picture).convert(mode)
        old_width, old_height = picture.size
        cover_height, cover_width = self._cover()
        if old_width * cover_height <= old_height * cover_width:
            new_height, new_width = cover_width * old_height // old_width, cover_width
        else:
            new_height, new_width = cover_height, cover_height * old_width // old_height
        top, left = round((new_height - self.height) / 2), round((new_width - self.width) / 2)
        # One step instead of two: the enlarged whole of a very long picture would not fit in memory.
        down, across = old_height / new_height, old_width / new_width
        right, bottom = (left + self.width) * across, (top + self.height) * down
        box = (left * across, top * down, min(right, old_width), min(bottom, old_height))  # against rounding
        return picture.resize((self.width, self.height), FILTERS[self.interpolation], box=box)

    def pixels(self, picture: Image.Image) -> Tensor:
        """A picture of any size -> uint8 (C, height, width)."""
        return levels(self.window(picture))

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


def levels(picture: Image.Image) -> Tensor:
    """The pixels of a picture in mode L or RGB as they are, uint8 (C, height, width)."""
    array = np.asarray(picture)
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
    """uint8 (B, 1 or 3, height, width) -> the same with the channels a model reads: grey to RGB or back.

    Luma is that of ITU-R 601, rounded as Pillow rounds it, so that a grey picture keeps its levels.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    luma = (pixels.int() * torch.tensor([19595, 38470, 7471]).view(3, 1, 1)).sum(1, keepdim=True)
    return (luma + 0x8000 >> 16).to(torch.uint8)
