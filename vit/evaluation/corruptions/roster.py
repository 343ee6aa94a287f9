"""The registry of corruptions. Help texts, option lists and error messages are made from it.

It imports no torch. A corruption is the function of its name in the module of its group, in this package.
Names, groups and order are those of Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations", ICLR, section 3.1.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from vit.errors import UsageError

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}

CORRUPTIONS = {name: group for group, names in GROUPS.items() for name in names}


def load_corruption(name: str) -> Callable[..., Any]:
    """The function of a corruption; its module is imported on first use.

    Raises:
        UsageError: There is no such corruption.
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"corruption is {name!r}, expected one of: {', '.join(CORRUPTIONS)}")
    return getattr(import_module(f"vit.evaluation.corruptions.{CORRUPTIONS[name]}"), name)
