"""mixup and CutMix."""

import math

import torch
from torch import Tensor
from torch.distributions import Beta

from vit.data.randomness import derive_seed
from vit.ranges import require


class Mix:
    """mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): images of a batch blended with each other.

    Each image is mixed with the one before it, the first with the last, all in the same way. The numbers are
    drawn on the host, in torchvision's order; the images are mixed where they are, without waiting for them.

    Args:
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of CutMix; 0 is off. With mixup too, each batch draws one of the two.
        classes: Number of classes.
        seed: The run's seed.

    Attributes:
        on: Whether anything is mixed.

    Raises:
        VitError: An alpha is negative.
    """

    def __init__(self, mixup: float, cutmix: float, classes: int, seed: int):
        require("augment.mixup", mixup)
        require("augment.cutmix", cutmix)
        self.classes, self.seed = classes, seed
        alphas = ((self._mixup, mixup), (self._cutmix, cutmix))
        self._kinds = [
            (draw, Beta(torch.tensor([alpha]), torch.tensor([alpha]))) for draw, alpha in alphas if alpha
        ]
        self.on = bool(self._kinds)

    def __call__(
        self, images: Tensor, targets: Tensor, epoch: int, first_index: int
    ) -> tuple[Tensor, Tensor]:
        """`blend` with the numbers of `draw`: a function of (seed, epoch, first_index) and the batch."""
        if not self.on:
            return images, targets
        drawn = self.draw(epoch, first_index, (images.shape[-2], images.shape[-1]))
        return self.blend(images, targets, drawn.to(images.device, non_blocking=True))

    def draw(self, epoch: int, first_index: int, size: tuple[int, int]) -> Tensor:
        """The numbers of a batch: a function of (seed, epoch, first_index, size).

        Args:
            epoch: The pass over the data.
            first_index: Index of the batch's first image; identifies the batch.
            size: Height and width of the images.

        Returns:
            float32 (8,), on the CPU: an image's own part of its mixture and the other's, and the same of its
            target; then top, left, bottom and right of the box that is the other's. Zeros where it is off.
        """
        if not self.on:
            return torch.zeros(8)
        with torch.random.fork_rng(devices=[]):  # distributions draw from the global CPU generator
            torch.default_generator.manual_seed(derive_seed(self.seed, epoch, first_index))
            chosen = int(torch.multinomial(torch.full((len(self._kinds),), 1 / len(self._kinds)), 1))
            numbers, distribution = self._kinds[chosen]
            return torch.tensor(numbers(float(distribution.sample()), *size))

    def blend(self, images: Tensor, targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch, all tensors on one device.

        Args:
            images: float32 (B, C, height, width).
            targets: int64 (B,); with several labels float32 (B, classes), where NaN is unknown.
            drawn: From `draw`.

        Returns:
            The mixed images and soft targets, float32 (B, classes); both unchanged where mixing is off. What
            is unknown of one of two images is unknown of their mixture.
        """
        if not self.on:
            return images, targets
        own, other, own_target, other_target, top, left, bottom, right = drawn.unbind()
        y = torch.arange(images.shape[-2], device=images.device)[:, None]
        x = torch.arange(images.shape[-1], device=images.device)
        box = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        own, other = torch.where(box, 0.0, own), torch.where(box, 1.0, other)
        if targets.ndim == 1:
            targets = targets[:, None] == torch.arange(self.classes, device=targets.device)
        targets = targets.to(torch.float32)
        mixed = images.roll(1, 0).mul_(other).add_(images * own)
        return mixed, targets.roll(1, 0).mul_(other_target).add_(targets * own_target)

    @staticmethod
    def _mixup(share: float, height: int, width: int) -> tuple[float, ...]:
        return share, 1 - share, share, 1 - share, 0, 0, 0, 0

    @staticmethod
    def _cutmix(share: float, height: int, width: int) -> tuple[float, ...]:
        x, y = int(torch.randint(width, (1,))), int(torch.randint(height, (1,)))
        half = 0.5 * math.sqrt(1 - share)
        wide, tall = int(half * width), int(half * height)
        left, top, right, bottom = (
            max(x - wide, 0),
            max(y - tall, 0),
            min(x + wide, width),
            min(y + tall, height),
        )
        share = 1 - (right - left) * (bottom - top) / (width * height)
        return 1, 0, share, 1 - share, top, left, bottom, right
