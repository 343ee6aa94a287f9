"""Training pictures, varied: batches of tensors in, batches of tensors out, on their own device.

What happens to a picture is a function of (seed, epoch, index) alone; a batch equals its pictures one by one.
Only their size follows the progress of the run (`ProgressiveResize`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.data.augmentation.geometry import affine, chained, resized_box, sample, shifted
from vit.data.augmentation.policy import RAND, WIDE, coloured, drawn, moved
from vit.data.preprocess import normalise
from vit.data.randomness import seed_of, uniforms
from vit.errors import VitError

BEFORE_ALL = -1  # in the place of an epoch: drawn once for the whole run


class Augment:
    """Crop, flip, policy, normalise, erase.

    All that moves pixels becomes one affine map per picture and is sampled once; colour comes after it.
    Without a policy, padded crops and flips are exact copies of pixels.

    Args:
        seed: The run's seed.
        mean: Of each channel, scale 0..1.
        std: Of each channel, scale 0..1.
        crop: `pad`: shift by up to `padding`, black comes in; `resized`: a box of `scale` area, resized;
            `none`.
        padding: Largest shift, as a fraction of the side.
        scale: Smallest and largest area of a resized crop, as fractions of the picture.
        flip: Mirror half of the pictures left to right in the first epoch, the other half in the second, and
            so on, so that two epochs show every picture both ways (Jordan 2024, section 3.6).
        policy: `trivial`: TrivialAugment, one operation of any strength (Mueller and Hutter 2021, wide
            ranges); `rand`: RandAugment (Cubuk et al. 2020); `none`.
        rand_ops: RandAugment's operations per picture.
        rand_magnitude: RandAugment's strength, 0 to 30.
        erase: Probability that a rectangle of 2 to 33 % of the area becomes the mean (Zhong et al. 2020).

    Raises:
        VitError: A word is unknown or a number out of range.
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
        if not 0 <= padding <= 1:
            raise VitError(f"augment.padding is {padding}, expected a fraction of the side, 0 to 1")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise VitError(f"augment.scale is {tuple(scale)}, expected 0 < smallest <= largest <= 1")
        if not 0 <= rand_magnitude <= 30:
            raise VitError(f"augment.rand_magnitude is {rand_magnitude}, expected 0 to 30")
        if rand_ops < 0:
            raise VitError(f"augment.rand_ops is {rand_ops}, expected 0 or more")
        if not 0 <= erase <= 1:
            raise VitError(f"augment.erase is {erase}, expected a probability, 0 to 1")
        self.seed, self.mean, self.std = seed, tuple(mean), tuple(std)
        self.crop, self.padding, self.scale, self.flip = crop, padding, (scale[0], scale[1]), flip
        self.erase = erase
        self.operations = {"none": 0, "trivial": 1, "rand": rand_ops}[policy]
        self.limits = RAND if policy == "rand" else WIDE
        self.strength = rand_magnitude / 30 if policy == "rand" else None

    def __call__(self, pixels: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """uint8 (B, C, height, width) and int64 (B,) -> float32 (B, C, height, width), normalised."""
        indices = indices.to(pixels.device)
        sizes = [4, 5] + [3] * self.operations
        u_crop, u_erase, *u_policy = uniforms(self.seed, epoch, indices, sum(sizes)).split(sizes, dim=1)
        first = uniforms(self.seed, BEFORE_ALL, indices, 1)[:, 0] < 0.5
        mirror = (first ^ (epoch % 2 == 1)) & self.flip
        if self.crop != "resized" and not self.operations:
            levels = shifted(pixels, *self._shift(u_crop, pixels), mirror)
        else:
            with torch.autocast(pixels.device.type, enabled=False):  # places need more bits than weights
                operations = [drawn(one, self.strength) for one in u_policy]
                levels = self._varied(pixels, u_crop, mirror, operations)
        images = normalise(levels, self.mean, self.std)
        return erased(images, u_erase, self.erase) if self.erase else images

    def _varied(
        self, pixels: Tensor, u_crop: Tensor, mirror: Tensor, operations: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        size = (pixels.shape[-2], pixels.shape[-1])
        one, zero = torch.ones_like(u_crop[:, 0]), torch.zeros_like(u_crop[:, 0])
        if self.crop == "resized":
            maps = resized_box(u_crop, self.scale, size)
        else:
            dy, dx = self._shift(u_crop, pixels)
            maps = affine(one, zero, zero, one, dx.to(one.dtype), dy.to(one.dtype))
        maps = chained(maps, affine(torch.where(mirror, -one, one), zero, zero, one, zero, zero))
        for operation, strength in operations:
            maps = chained(maps, moved(operation, strength, size, self.limits))
        levels = sample(pixels.to(torch.float32), maps)
        for operation, strength in operations:
            levels = coloured(levels, operation, strength, self.limits)
        return levels

    def _shift(self, u: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Whole pixels, int64 (B,), in y and in x."""
        largest = [round(self.padding * side) if self.crop == "pad" else 0 for side in pixels.shape[-2:]]
        dy, dx = ((u[:, i] * (2 * most + 1)).long() - most for i, most in enumerate(largest))
        return dy, dx


def erased(images: Tensor, u: Tensor, probability: float) -> Tensor:
    """Zero one rectangle of 2 to 33 % of the area, sides 3:10 to 10:3 (Zhong et al. 2020, algorithm 1).

    A rectangle that would stick out is cut to the picture, where the paper draws again.

    Args:
        images: float (B, C, height, width), normalised: 0 is the mean.
        u: (B, 5) in [0, 1): whether, area, ratio, place in y, place in x.
        probability: Part of the pictures that lose a rectangle.
    """
    height, width = images.shape[-2:]
    area = (0.02 + 0.31 * u[:, 1]) * height * width
    root = ((u[:, 2] * 2 - 1) * torch.tensor(10 / 3).log() / 2).exp()  # sqrt of width over height
    tall = (area.sqrt() / root).round().clamp(1, height)
    wide = (area.sqrt() * root).round().clamp(1, width)
    top = (u[:, 3] * (height - tall + 1)).floor()
    left = (u[:, 4] * (width - wide + 1)).floor()
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    in_rows = (y >= top[:, None]) & (y < (top + tall)[:, None])  # (B, height)
    in_cols = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (B, width)
    hole = in_rows[:, :, None] & in_cols[:, None, :] & (u[:, 0] < probability)[:, None, None]
    return images.masked_fill(hole[:, None], 0.0)


class Mix:
    """mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): pictures of a batch blended with each other.

    Args:
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of CutMix; 0 is off. With mixup too, each batch draws one of the two.
        classes: Number of classes.
        seed: The run's seed.

    Raises:
        VitError: An alpha is negative.
    """

    def __init__(self, mixup: float, cutmix: float, classes: int, seed: int):
        from torchvision.transforms import v2

        if mixup < 0 or cutmix < 0:
            raise VitError(f"augment.mixup is {mixup} and augment.cutmix {cutmix}, expected 0 (off) or more")
        self.seed = seed
        mixers = [
            mixer(alpha=alpha, num_classes=classes)
            for mixer, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
            if alpha
        ]
        self.mix = v2.RandomChoice(mixers) if mixers else None

    def __call__(
        self, images: Tensor, targets: Tensor, epoch: int, first_index: int
    ) -> tuple[Tensor, Tensor]:
        """A function of (seed, epoch, first_index) and the batch.

        Args:
            images: float (B, C, height, width).
            targets: int64 (B,).
            epoch: The pass over the data.
            first_index: Index of the batch's first picture; stands for the batch.

        Returns:
            The mixed images and soft targets, float32 (B, classes); both unchanged where mixing is off.
        """
        if self.mix is None:
            return images, targets
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global CPU generator
            torch.default_generator.manual_seed(seed_of(self.seed, epoch, first_index))
            return self.mix(images, targets)


class ProgressiveResize:
    """Pictures that are small while a run is young (Tan and Le 2021, "EfficientNetV2", section 4).

    A step costs by the pixel, and what is learned first is coarse. The side grows by one patch at a time, in
    even parts of the run.

    Args:
        start: Side at the beginning over the full side.
        until: Part of the run from which pictures have their full size.
        patch_size: Pixels per patch, (height, width): what the sides stay multiples of.

    Raises:
        VitError: A number is out of range.
    """

    def __init__(self, start: float, until: float, patch_size: Sequence[int]):
        if not 0 < start <= 1:
            raise VitError(f"augment.grow_from is {start}, expected a part of the side, above 0 up to 1")
        if not 0 <= until <= 1:
            raise VitError(f"augment.grow_until is {until}, expected a part of the run, 0 to 1")
        self.start, self.until, self.patch_size = start, until, patch_size

    def __call__(self, images: Tensor, progress: float) -> Tensor:
        """float (B, C, height, width) -> the same pictures, smaller where `progress`, 0 to 1, is low."""
        if progress >= self.until:
            return images
        part = self.start + (1 - self.start) * progress / self.until
        size = [
            max(patch, int(side // patch * part + 1e-6) * patch)
            for side, patch in zip(images.shape[-2:], self.patch_size, strict=True)
        ]
        return interpolate(images, size, mode="bilinear", antialias=True)
