"""Weather. Images are as in `vit.evaluation.corruptions.noise`."""

import torch
from torch import Generator, Tensor

from vit.data.augmentation.photometric import LUMA
from vit.evaluation.corruptions.filters import drag, plasma, zoom
from vit.evaluation.corruptions.ice import ice
from vit.evaluation.corruptions.sizes import length_scale, parameter, parameters

ICE_COLOR = (0.86, 0.94, 1.0)


def snow(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Flakes that fall, and a paler image."""
    small = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )
    large = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )
    mean, std, size, threshold, radius, blur, kept = parameters(image, severity, small, large)
    scale = length_scale(image)
    noise = mean + std * torch.randn(1, *image.shape[-2:], generator=generator)
    noise = zoom(noise, [size * scale])[0]
    flakes = torch.where(noise < threshold, 0.0, noise).clamp(0, 1)
    angle = float(torch.empty(()).uniform_(45, 135, generator=generator))
    flakes = drag(flakes, radius * scale, blur * scale, angle)
    pale = torch.maximum(image, _grey(image) * 1.5 + 0.5)
    return kept * image + (1 - kept) * pale + flakes + flakes.rot90(2, (1, 2))


def frost(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Ice crystals on the window before the camera.

    The authors added photographs of frost, with these weights; here the layer is computed.
    """
    small = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
    large = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
    kept, added = parameters(image, severity, small, large)
    layer = ice((image.shape[1], image.shape[2]), length_scale(image), generator)
    if len(image) == 3:
        layer = layer * torch.tensor(ICE_COLOR).view(3, 1, 1)
    return kept * image + added * layer


def fog(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Uneven fog, a fractal cloud."""
    small = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))
    large = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
    thickness, decay = parameters(image, severity, small, large)
    brightest = image.max()
    foggy = image + thickness * plasma((image.shape[1], image.shape[2]), decay, generator)
    return foggy * brightest / (brightest + thickness)


def brightness(image: Tensor, severity: int, generator: Generator) -> Tensor:
    """Brighter: the value of hue, saturation and value rises."""
    rise = parameter(image, severity, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))
    value = image.amax(0, keepdim=True)
    brighter = (value + rise).clamp(max=1)
    # Channels keep their ratio, so hue and saturation stay; black becomes grey.
    return torch.where(value > 0, image / value.clamp(min=1e-6) * brighter, brighter)


def _grey(image: Tensor) -> Tensor:
    """(C, height, width) -> (1, height, width)."""
    if len(image) == 1:
        return image
    return (image * torch.tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)
