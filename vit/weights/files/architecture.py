"""timm's architectures, without weights."""

from itertools import pairwise
from typing import Any

import torch

from vit.errors import UsageError, VitError
from vit.weights.timm import timm_architecture
from vit.weights.timm.source import require_known

SCHEME = "timm:"
READ = "VisionTransformer"  # the class of timm whose files are read, with names of several authors

SIZES = {(192, 12): "tiny", (384, 12): "small", (768, 12): "base", (1024, 24): "large", (1280, 32): "huge"}


def create(name: str, **arguments: Any) -> Any:
    """timm's model of that name, on the device `meta`: names and shapes, and no memory.

    Args:
        name: As in `timm.create_model`, with or without the tag of pretrained weights.
        arguments: Of `timm.create_model`, in place of the architecture's own.

    Raises:
        UsageError: timm has no such model, or vit does not have it.
        VitError: timm cannot make it with these arguments.
    """
    from vit.weights.timm.tower import tower_arguments

    try:
        require_known(name)
    except VitError as error:
        raise UsageError(f"--model.like is {SCHEME}{name}: {error}") from None
    with torch.device("meta"):
        model = timm_architecture(name, **arguments)
    try:
        tower_arguments(model)
    except VitError as error:
        raise UsageError(f"--model.like is {SCHEME}{name}: {error}") from None
    if type(model).__name__ != READ:
        raise UsageError(
            f"--model.like is {SCHEME}{name}, of class {type(model).__name__}: files of weights are read for "
            f"timm's {READ} alone; a folder with timm's config.json is read as {SCHEME}FOLDER"
        )
    return model


def way_out(tensors: dict[str, Any], like: str = "--model.like {}") -> str:
    """The end of a message: to name the architecture, and which it is as far as the shapes tell.

    Args:
        tensors: Of a file, wrappers included, under timm's names or OpenAI's.
        like: How the architecture is named, with a place for it.
    """
    architecture = f"{SCHEME}ARCHITECTURE"
    advice = f"{like.format(architecture)} names the architecture of the weights"
    patches = [
        tensor
        for name, tensor in tensors.items()
        if name.endswith(("patch_embed.proj.weight", "visual.conv1.weight")) and tensor.ndim == 4
    ]
    if not patches:
        return advice
    width, _, side, _ = patches[0].shape
    numbers = [number for name in tensors for number in _after(name, "blocks") + _after(name, "resblocks")]
    depth = 1 + max(map(int, numbers), default=-1)
    names = _names(tensors, width, depth, side)
    sizes = f"width {width}, {depth} blocks and patches of {side} pixels"
    if names:
        return f"the weights have {sizes}, as {like.format(SCHEME + names[0])}"
    return f"{advice}, which have {sizes}"


def _after(name: str, part: str) -> list[str]:
    """The number after a part of a dotted name."""
    parts = name.split(".")
    return [number for before, number in pairwise(parts) if before == part and number.isdecimal()]


def _names(tensors: dict[str, Any], width: int, depth: int, side: int) -> list[str]:
    """Architectures of timm with these sizes, the likeliest first."""
    import timm

    size = SIZES.get((width, depth))
    if size is None:
        return []
    last = {name.rpartition(".")[2] for name in tensors}
    if "class_embedding" in last:
        kinds = ["_clip_quickgelu_224", "_clip_224"]
    elif any(name.endswith("ls1.gamma") for name in tensors):
        kinds = ["_reg4_dinov2"] if last & {"register_tokens", "reg_token"} else ["_dinov2"]
    elif "cls_token" not in last:
        kinds = ["_gap_224", "_siglip_224"]
    else:
        kinds = ["_224", "_384"]
    family = "deit3" if "gamma_1" in last else "vit"
    names = [f"{family}_{size}_patch{side}{kind}" for kind in kinds]
    return [name for name in names if timm.is_model(name)]


def pretrained_tags(name: str, mean: tuple[float, ...]) -> list[str]:
    """The tags of an architecture whose weights were trained on pixels with another mean."""
    import timm

    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{name}.*")]
    configs = {tag: timm.get_pretrained_cfg(f"{name}.{tag}") for tag in tags}
    return [tag for tag, config in configs.items() if config is not None and tuple(config.mean) != mean]
