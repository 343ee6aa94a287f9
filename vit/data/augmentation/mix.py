"""mixup and CutMix."""

import torch
from torch import Tensor

from vit.data.randomness import derive_seed
from vit.ranges import require


class Mix:
    """mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): images of a batch blended with each other.

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

        require("augment.mixup", mixup)
        require("augment.cutmix", cutmix)
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
            targets: int64 (B,); with several labels float32 (B, classes), where NaN is unknown.
            epoch: The pass over the data.
            first_index: Index of the batch's first image; identifies the batch.

        Returns:
            The mixed images and soft targets, float32 (B, classes); both unchanged where mixing is off. What
            is unknown of one of two images is unknown of their mixture.
        """
        if self.mix is None:
            return images, targets
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global CPU generator
            torch.default_generator.manual_seed(derive_seed(self.seed, epoch, first_index))
            return self.mix(images, targets)
