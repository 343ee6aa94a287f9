"""Noise in each pixel and channel.

Images here and in the other modules of corruptions are float32 (C, height, width) on the scale 0..1; results
may leave this range.
"""

import torch
from torch import Generator, Tensor

from vit.evaluation.corruptions.sizes import parameter


def gaussian_noise(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Normal noise, as in low light."""
    std = parameter(image, severity, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
    return image + std * torch.randn(image.shape, generator=generator)


def shot_noise(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Poisson noise: white is this many photons."""
    photons = parameter(image, severity, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3))
    return torch.poisson(image * photons, generator) / photons


def impulse_noise(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Salt and pepper: this share of the values becomes 0 or 1."""
    share = parameter(image, severity, (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))
    struck = torch.rand(image.shape, generator=generator) < share
    salt = torch.rand(image.shape, generator=generator) < 0.5
    return torch.where(struck, salt.to(image.dtype), image)
