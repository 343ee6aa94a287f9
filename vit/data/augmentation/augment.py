"""Augmentation of training images: a batch of tensors in, a batch of tensors out, on their own device."""

import torch
from torch import Tensor, nn

from vit.data.augmentation.erasing import random_erasing
from vit.data.augmentation.geometry import affine, compose, random_box, shift_and_flip, warp
from vit.data.augmentation.policy import RAND, WIDE, apply_photometric, draw_operations, geometric_maps
from vit.data.preprocess import match_channels, normalise
from vit.data.randomness import uniforms
from vit.errors import VitError
from vit.ranges import require

NO_EPOCH = -1  # stands for the epoch in numbers that are drawn once for the whole run


class Augment(nn.Module):
    """Crop, flip, policy, normalise, erase.

    A function of (seed, epoch, index) alone: an image is augmented the same way in any batch. All geometric
    operations are composed to one affine map per image, which is sampled once; color operations follow.
    Without a policy, padded crops and flips are exact copies of pixels.

    A module so that its two constants move to the device that trains, where a step waits for nothing.

    Args:
        seed: The run's seed.
        mean: Of each channel, scale 0..1.
        std: Of each channel, scale 0..1.
        crop: `pad`: shift by up to `padding`, black outside; `resized`: a random box of `scale` area,
            resized; `none`.
        padding: Largest shift, as a fraction of the side.
        scale: Smallest and largest area of a resized crop, as fractions of the image.
        flip: Mirror half of the images left to right in the first epoch, the other half in the second, and so
            on, so that two epochs show every image both ways (Jordan 2024, section 3.6).
        policy: `trivial`: TrivialAugment, one operation of any strength (Mueller and Hutter 2021, wide
            ranges); `rand`: RandAugment (Cubuk et al. 2020); `none`.
        rand_ops: RandAugment's operations per image.
        rand_magnitude: RandAugment's strength, 0 to 30.
        erase: Probability that a rectangle of 2 to 33 % of the area becomes the mean (Zhong et al. 2020).

    Raises:
        VitError: `crop` or `policy` is unknown, or a number is out of range.
    """

    def __init__(
        self,
        seed: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        crop: str = "pad",
        padding: float = 0.125,
        scale: tuple[float, float] = (0.35, 1.0),
        flip: bool = True,
        policy: str = "none",
        rand_ops: int = 2,
        rand_magnitude: int = 9,
        erase: float = 0.0,
    ):
        if crop not in ("none", "pad", "resized"):
            raise VitError(f"augment.crop is {crop!r}, expected none, pad or resized")
        if policy not in ("none", "trivial", "rand"):
            raise VitError(f"augment.policy is {policy!r}, expected none, trivial or rand")
        require("augment.padding", padding)
        require("augment.scale", scale)
        require("augment.rand_ops", rand_ops)
        require("augment.rand_magnitude", rand_magnitude)
        require("augment.erase", erase)
        super().__init__()
        self.seed = seed
        self.crop, self.padding, self.scale, self.flip = crop, padding, scale, flip
        self.erase = erase
        self.operations = {"none": 0, "trivial": 1, "rand": rand_ops}[policy]
        self.limits = RAND if policy == "rand" else WIDE
        self.strength = rand_magnitude / 30 if policy == "rand" else None
        self.mean: Tensor
        self.std: Tensor
        # Not stored: they follow from the data.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, pixels: Tensor, indices: Tensor, epoch: int | Tensor) -> Tensor:
        """Augment a batch.

        Args:
            pixels: uint8 (B, C or 1 or 3, height, width); grey becomes RGB, or RGB grey, as the mean has it.
            indices: int64 (B,).
            epoch: The pass over the data. In a compiled step an int64 tensor () on the device of the pixels:
                each int would be compiled by itself.

        Returns:
            float32 (B, C, height, width), normalised.
        """
        pixels, indices = match_channels(pixels, len(self.mean)), indices.to(pixels.device)
        sizes = [4, 5, 3 * self.operations]
        u_crop, u_erase, u_policy = uniforms(self.seed, epoch, indices, sum(sizes)).split(sizes, dim=1)
        in_even_epochs = uniforms(self.seed, NO_EPOCH, indices, 1)[:, 0] < 0.5
        mirror = (in_even_epochs ^ (epoch % 2 == 1)) & self.flip
        if self.crop != "resized" and not self.operations:
            levels = shift_and_flip(pixels, *self._shift(u_crop, pixels), mirror)
        else:
            levels = self._warp_and_color(pixels, u_crop, mirror, u_policy)
        images = normalise(levels, self.mean, self.std)
        return random_erasing(images, u_erase, self.erase) if self.erase else images

    def _warp_and_color(self, pixels: Tensor, u_crop: Tensor, mirror: Tensor, u_policy: Tensor) -> Tensor:
        size = (pixels.shape[-2], pixels.shape[-1])
        one, zero = torch.ones_like(u_crop[:, 0]), torch.zeros_like(u_crop[:, 0])
        if self.crop == "resized":
            maps = random_box(u_crop, self.scale, size)
        else:
            dy, dx = self._shift(u_crop, pixels)
            maps = affine(one, zero, zero, one, dx.to(one.dtype), dy.to(one.dtype))
        maps = compose(maps, affine(torch.where(mirror, -one, one), zero, zero, one, zero, zero))
        operations, strengths = draw_operations(u_policy.unflatten(1, (self.operations, 3)), self.strength)
        for map_ in geometric_maps(operations, strengths, size, self.limits).unbind(1):
            maps = compose(maps, map_)
        levels = warp(pixels.to(torch.float32), maps)
        for operation, strength in zip(operations.unbind(1), strengths.unbind(1), strict=True):
            levels = apply_photometric(levels, operation, strength, self.limits)
        return levels

    def _shift(self, u: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Whole pixels, int64 (B,), in y and in x."""
        limits = [round(self.padding * side) if self.crop == "pad" else 0 for side in pixels.shape[-2:]]
        dy, dx = ((u[:, i] * (2 * limit + 1)).long() - limit for i, limit in enumerate(limits))
        return dy, dx
