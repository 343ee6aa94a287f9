"""What a file shows of the code that wrote it, where the architecture alone gives another model or pixels.

timm's `vit_small_patch16_224`, for instance, has weights that were trained on pixels with mean 0.5; DINO's,
MAE's and MoCo v3's files of the same architecture were trained with ImageNet's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vit.weights.files.names import Tensors, is_torchvision

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = 224 / 256  # all of them evaluate on the centre of a picture of 256 pixels


@dataclass(frozen=True)
class Author:
    """A training code that is known by the names in its files.

    Args:
        name: In messages.
        writes: Whether a file with these tensors, wrappers included, is its.
        interpolation: With which it resizes pictures in evaluation.
    """

    name: str
    writes: Callable[[Tensors], bool]
    interpolation: str


def _has(*parts: str) -> Callable[[Tensors], bool]:
    """Whether each of the parts is one of the keys of some tensor."""
    return lambda tensors: set(parts) <= {part for name in tensors for part in name.split(".")}


AUTHORS = (
    Author("torchvision", is_torchvision, "bilinear"),
    Author("MoCo v3", _has("base_encoder", "momentum_encoder"), "bilinear"),
    Author("MAE", _has("decoder_pos_embed", "decoder_pred"), "bicubic"),
    Author("DINO", _has("student", "teacher", "last_layer"), "bicubic"),
    Author("I-JEPA", _has("target_encoder", "predictor"), "bicubic"),
)


def author_of(tensors: Tensors) -> Author | None:
    """The code that wrote a file, if its names tell."""
    return next((author for author in AUTHORS if author.writes(tensors)), None)


def own_arguments(author: Author | None, arch: str, tensors: Tensors) -> dict[str, Any]:
    """Arguments of the architecture that shapes of tensors do not show.

    Args:
        author: Of the file.
        arch: The author's name of the architecture; empty if unknown.
        tensors: Of the model.
    """
    # MoCo v3's ViT-S has 12 heads, all others 6 (moco-v3/vits.py).
    moco = author is not None and author.name == "MoCo v3"
    norm = tensors.get("norm.weight")
    small = norm is not None and len(norm) == 384
    return {"num_heads": 12} if small and (moco or arch == "vit_small") else {}


def own_pixels(author: Author | None, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings of preprocessing that a file tells, under timm's names, and where they are from; empty: none.

    Args:
        author: Of the file.
        arguments: The command line that the file keeps. timm's scripts have mean and deviation there, if they
            are not the architecture's.
    """
    mean, std = arguments.get("mean"), arguments.get("std")
    if _is_per_channel(mean) and _is_per_channel(std):
        given = {name: arguments.get(name) for name in ("crop_pct", "interpolation")}
        return {"mean": mean, "std": std} | {
            name: value for name, value in given.items() if value
        }, "its args"
    if author is None:
        return {}, ""
    normal = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return normal | {"crop_pct": CROP, "interpolation": author.interpolation}, author.name


def _is_per_channel(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and bool(values) and all(isinstance(v, float) for v in values)
