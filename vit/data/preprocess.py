"""From a picture to the tensor a model sees: resize, centre crop, normalise. Stored with the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decode import Source, open_image, upright
from vit.errors import VitError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}

RESIZES = ("crop", "squash", "pad")

# The border of `pad`, mid-grey, whatever `mean` is: pictures are read before the mean of a dataset is known.
BORDER = 128

LIBRARIES = ("torchvision", "timm", "transformers")

# Pixels of a resized picture above which only the part that is kept is computed, whatever `follows` is.
LARGEST = 1 << 24

# Fields that a stored dictionary may lack: it is older than the field, or the field has its default.
OPTIONAL = {"resize", "fill", "follows"}


class Box(NamedTuple):
    """A part of an upright picture, in its pixels from the top left; an edge may lie between two pixels."""

    left: float
    top: float
    right: float
    bottom: float


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
        resize: How a picture comes to `height / crop` x `width / crop` pixels, of which the centre is kept.
            `crop` keeps its aspect ratio and covers them, so that the ends of its longer side are lost;
            `squash` changes its aspect ratio; `pad` keeps it, fits the whole picture inside, and has a border
            of the colour `fill`, half of it on either side.
        fast_jpeg: Decode a JPEG file at 1/2, 1/4 or 1/8 scale where that leaves twice the pixels per side
            that are needed. At 224 pixels, files of 2000 x 3000 take a quarter of the time, and pixels differ
            by up to 8 of 255 levels; in smaller files with fine detail by up to 57. Not stored.
        fill: Colour of the border of `pad`, a level 0..255 per channel; None: mid-grey (128).
        follows: The library whose pixels these are, to one level. `torchvision`, what vit trains with: only
            the part that is kept is resized, which in sharp edges may round otherwise. `timm`: the whole
            picture is, as timm does, and for a canvas that is no square its sides are rounded, not cut.
            `transformers`: the whole picture is, across before down, as its processors do on tensors, while
            Pillow takes the faster order; and a centre crop that cuts off an odd number of pixels begins at
            half of it rounded down, not to an even number.

    Raises:
        VitError: A value is out of range, or `mean`, `std` or `fill` has not one entry per channel.
    """

    height: int
    width: int
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: float = 1.0
    interpolation: str = "bicubic"
    resize: str = "crop"
    fast_jpeg: bool = False
    fill: tuple[int, ...] | None = None
    follows: str = "torchvision"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if self.fill is not None:
            object.__setattr__(self, "fill", tuple(int(level) for level in self.fill))
        if self.height < 1 or self.width < 1:
            raise VitError(f"picture size is {self.height} x {self.width}, expected at least 1 x 1")
        if self.channels not in (1, 3):
            raise VitError(f"channels is {self.channels}, expected 1 (grey) or 3 (RGB)")
        for name, values in (("mean", self.mean), ("std", self.std), ("fill", self.fill)):
            if values is not None and len(values) != self.channels:
                raise VitError(f"{name} has {len(values)} entries, expected {self.channels}: one per channel")
        if min(self.std) <= 0:
            raise VitError(f"std is {self.std}, expected numbers above 0")
        if not 0 < self.crop <= 1:
            raise VitError(f"crop is {self.crop}, expected a fraction in (0, 1]")
        if self.interpolation not in FILTERS:
            raise VitError(f"interpolation is {self.interpolation!r}, expected one of {', '.join(FILTERS)}")
        if self.resize not in RESIZES:
            raise VitError(f"resize is {self.resize!r}, expected one of {', '.join(RESIZES)}")
        if self.fill is not None and not 0 <= min(self.fill) <= max(self.fill) <= 255:
            raise VitError(f"fill is {self.fill}, expected levels from 0 to 255")
        if self.follows not in LIBRARIES:
            raise VitError(f"follows is {self.follows!r}, expected one of {', '.join(LIBRARIES)}")

    def __call__(self, source: Source) -> Tensor:
        """A picture -> float32 (C, height, width), normalised: the pixels that every command sees.

        Args:
            source: A path, the bytes of a file, a file open in binary mode, a Pillow image, or an upright
                uint8 array (height, width, 3), RGB, or (height, width), grey. Files and Pillow images are
                turned as their EXIF says.

        Raises:
            DecodeError: The picture cannot be read.
            VitError: `source` is something else.
        """
        return self.normalise(self.pixels(source))

    def pixels(self, source: Source) -> Tensor:
        """A picture, as in a call -> uint8 (C, height, width)."""
        return levels(self.read(source))

    def read(self, source: Source) -> Image.Image:
        """The part of a picture that the model sees, as `window` gives it.

        Args:
            source: As in a call.

        Raises:
            DecodeError: The picture cannot be read.
            VitError: `source` is something else.
        """
        return self.window(self.open(source))

    def open(self, source: Source) -> Image.Image:
        """A whole picture, upright, in mode L or RGB, of which `window` makes what the model sees.

        Args:
            source: As in a call.

        Raises:
            DecodeError: The picture cannot be read.
            VitError: `source` is something else.
        """
        return open_image(source, min_side=max(self._canvas()) if self.fast_jpeg else None)

    def window(self, image: Image.Image) -> Image.Image:
        """The part of a Pillow image that the model sees: mode L or RGB, `height` x `width` pixels, upright.

        All geometry is here. Sizes are rounded as in torchvision's Resize and CenterCrop, and for `pad` in
        timm's ResizeKeepRatio and CenterCropOrPad, so that weights trained with them see the same pixels.
        With `crop` 1, an image that already has the size is not changed. 16-bit, transparent and other modes
        become L or RGB as in `vit.data.decode.open_image`.
        """
        mode = "L" if self.channels == 1 else "RGB"
        image = upright(image)
        if image.mode != mode:
            image = image.convert(mode)
        old_width, old_height = image.size
        new_height, new_width = self._resized(old_height, old_width)
        height, width = min(new_height, self.height), min(new_width, self.width)  # smaller where `pad` pads
        top, left = self._half(new_height - height), self._half(new_width - width)
        image = self._part(image, (new_height, new_width), (left, top, left + width, top + height))
        if (height, width) == (self.height, self.width):
            return image
        canvas = Image.new(mode, (self.width, self.height), self.fill or (BORDER,) * self.channels)
        canvas.paste(image, ((self.width - width) // 2, (self.height - height) // 2))
        return canvas

    def seen(self, height: int, width: int) -> Box:
        """The part of an upright picture of `height` x `width` pixels that `window` keeps.

        With `pad` it is larger than the picture where there is a border: `left` and `top` are negative then.
        """
        new_height, new_width = self._resized(height, width)
        across, down = width / new_width, height / new_height  # pixels of the picture for one of the window
        left, top = self._offset(new_width, self.width), self._offset(new_height, self.height)
        return Box(left * across, top * down, (left + self.width) * across, (top + self.height) * down)

    def _offset(self, whole: int, kept: int) -> int:
        """Where the window begins in the resized picture, in pixels; before it, if there is a border."""
        return self._half(whole - kept) if whole >= kept else -((kept - whole) // 2)

    def _part(
        self, image: Image.Image, whole: tuple[int, int], part: tuple[int, int, int, int]
    ) -> Image.Image:
        """An image resized to `whole`, (height, width), and of that the box (left, top, right, bottom)."""
        (height, width), (left, top, right, bottom) = whole, part
        interpolation = FILTERS[self.interpolation]
        if self.follows != "torchvision" and height * width <= LARGEST:
            if self.follows == "transformers":
                image = image.resize((width, image.height), interpolation)
            return image.resize((width, height), interpolation).crop(part)
        # Crop and resize in one step: a very long image, enlarged as a whole, would not fit in memory.
        across, down = image.width / width, image.height / height
        ends = min(right * across, image.width), min(bottom * down, image.height)  # against rounding
        box = (left * across, top * down, *ends)
        return image.resize((right - left, bottom - top), interpolation, box=box)

    def _half(self, rest: int) -> int:
        """Pixels before the centre crop, of those that are cut off."""
        return rest // 2 if self.follows == "transformers" else round(rest / 2)

    def _canvas(self) -> tuple[int, int]:
        """Height and width before the centre crop."""
        return int(self.height / self.crop), int(self.width / self.crop)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a whole picture once it is resized."""
        canvas_height, canvas_width = self._canvas()
        if self.resize == "squash":
            return canvas_height, canvas_width
        if self.resize == "pad":
            factor = max(height / canvas_height, width / canvas_width)
            return max(round(height / factor), 1), max(round(width / factor), 1)
        if self.follows == "timm" and canvas_height != canvas_width:
            factor = min(height / canvas_height, width / canvas_width)
            return round(height / factor), round(width / factor)
        if width * canvas_height <= height * canvas_width:
            return canvas_width * height // width, canvas_width
        return canvas_height, canvas_height * width // height

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (..., C, height, width) -> float32 of the same shape, `(pixels / 255 - mean) / std`."""
        return normalise(pixels, self.mean, self.std)

    def to_dict(self) -> dict[str, Any]:
        """The stored fields as JSON types; `from_dict` reads them back."""
        usual = {"fill": None, "follows": "torchvision"}  # left out, so that earlier versions read the rest
        stored = {
            key: value
            for key, value in asdict(self).items()
            if key != "fast_jpeg" and (key not in usual or value != usual[key])
        }
        return {key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """What `to_dict` wrote; any of `OPTIONAL` may be missing.

        Raises:
            VitError: A key is unknown or missing.
        """
        known = {field.name for field in fields(cls)} - {"fast_jpeg"}
        if unknown := sorted(set(values) - known):
            raise VitError(f"preprocess has the unknown keys {unknown}, expected {sorted(known)}")
        if missing := sorted(known - OPTIONAL - set(values)):
            raise VitError(f"preprocess lacks the keys {missing}, expected {sorted(known)}")
        return cls(**values)


def levels(image: Image.Image) -> Tensor:
    """The pixels of an image in mode L or RGB, uint8 (C, height, width)."""
    array = np.asarray(image)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1).copy())


def normalise(pixels: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """Levels 0..255 (..., C, height, width), uint8 or float -> float32 of the same shape and device.

    Tensors `mean` and `std`, float32 (C,), on the device of the pixels are not copied to it in each call.

    Raises:
        VitError: `pixels` has not one channel per entry of `mean`.
    """
    if pixels.ndim < 3 or pixels.shape[-3] != len(mean):
        raise VitError(f"pixels have shape {tuple(pixels.shape)}, expected (..., {len(mean)}, height, width)")
    shift = torch.as_tensor(mean, device=pixels.device).view(-1, 1, 1)
    scale = torch.as_tensor(std, device=pixels.device).view(-1, 1, 1)
    return (pixels.to(torch.float32) / 255).sub_(shift).div_(scale)


def match_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 (B, 1 or 3, height, width) -> (B, channels, height, width): grey to RGB, or RGB to grey.

    Luma is that of ITU-R 601, rounded as in Pillow, so that a grey RGB image keeps its levels.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    red, green, blue = pixels.int().split(1, dim=1)
    luma = red * 19595 + green * 38470 + blue * 7471
    return (luma + 0x8000 >> 16).to(torch.uint8)
