"""timm's models with random weights, for the tests of the importer: nothing is downloaded."""

from typing import Any

import timm
import torch
from torch import nn


def randomised(name: str, **arguments: object) -> Any:
    """timm's model with weights large enough that logits are of order one, and no two parameters alike."""
    model = timm.create_model(name, **arguments).eval()
    randomise(model)
    return model


def randomise(model: nn.Module) -> None:
    """New weights, of order one in what they compute."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(float("norm" in name) + 0.2 * torch.randn_like(parameter))


def tiny(**arguments: object) -> Any:
    """A ViT of 2 blocks and 39 channels for pictures of 24 x 40 pixels: small enough for many tests."""
    usual: dict[str, object] = {
        "img_size": (24, 40),
        "patch_size": 8,
        "embed_dim": 39,
        "num_heads": 3,
        "depth": 2,
    }
    return randomised("vit_tiny_patch16_224", **(usual | arguments))


def images(model: Any, count: int = 2) -> torch.Tensor:
    """Random pixels of the size that the model takes, (B, C, height, width)."""
    patches = model.patch_embed
    return torch.randn(count, patches.proj.in_channels, *patches.img_size, dtype=patches.proj.weight.dtype)
