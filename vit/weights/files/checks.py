"""What must fit between a file of weights and timm's architecture; timm itself would resample or go on."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from vit.errors import VitError
from vit.weights.files.architecture import SCHEME, way_out
from vit.weights.files.names import AUXILIARY, Tensors

# Parts that timm's conversion drops without a word.
DROPPED = ("mask_token", "pre_logits")


def check_patches(
    file: Path, name: str, plan: Any, width: int, patch: tuple[int, ...], tensors: Tensors
) -> None:
    """Refuse patches of another width or size.

    Args:
        file: For messages.
        name: Of timm's architecture.
        plan: timm's model.
        width: D, of the file.
        patch: Height and width in pixels, of the file; empty if unknown.
        tensors: Of the file, to tell which architecture it is of.
    """
    own, own_patch = plan.embed_dim, tuple(plan.patch_embed.patch_size)
    if width != own:
        raise VitError(f"{file} has width {width}, and {SCHEME}{name} has width {own}: {way_out(tensors)}")
    if patch and patch != own_patch:
        raise VitError(
            f"{file} has patches of {_pixels(patch)}, and {SCHEME}{name} has patches of "
            f"{_pixels(own_patch)}: {way_out(tensors)}"
        )


def check_names(
    file: Path, name: str, expected: dict[str, Tensor], weights: Tensors, tensors: Tensors
) -> dict[str, int]:
    """Refuse missing and unknown tensors.

    Args:
        file: For messages.
        name: Of timm's architecture.
        expected: Its names.
        weights: Of the file, as timm's conversion gives them.
        tensors: As they were before it.

    Returns:
        How many are left over in each known part, such as a decoder.
    """
    missing = [key for key in expected if key not in weights]
    if missing:
        raise VitError(lacks(file, name, missing, tensors))
    left = [key for key in weights if key not in expected]
    unknown = [key for key in left if not AUXILIARY.match(key)]
    if unknown:
        raise VitError(f"{file} has {some(unknown)}, which {SCHEME}{name} does not have: {way_out(tensors)}")
    left += [key for key in tensors if key.startswith(DROPPED)]
    parts = [key.split(".")[0] for key in left]
    return {part: parts.count(part) for part in dict.fromkeys(parts)}


def lacks(file: Path, name: str, missing: list[str], tensors: Tensors) -> str:
    """The message about tensors that a file does not have."""
    return f"{file} lacks {some(missing)} of {SCHEME}{name}: if it is complete, {way_out(tensors)}"


def image_size(file: Path, name: str, plan: Any, entries: int) -> tuple[int, int]:
    """The image size, height and width in pixels, for which a table of positions has been made.

    Args:
        file: For messages.
        name: Of timm's architecture.
        plan: timm's model.
        entries: Of the table, those of prefix tokens included.

    Raises:
        VitError: The patches make no square, and are not as many as the architecture's.
    """
    prefix = 0 if plan.no_embed_class else plan.num_prefix_tokens
    patches = entries - prefix
    rows, cols = plan.patch_embed.grid_size
    if patches == rows * cols:
        height, width = plan.patch_embed.img_size  # which patches may not tile
        return height, width
    rows = cols = math.isqrt(max(patches, 0))
    if rows * cols != patches or patches < 1:
        raise VitError(
            f"{file} has {entries} positions, {prefix} of them of prefix tokens in {SCHEME}{name}, and "
            f"{patches} patches make no square: {way_out({})}"
        )
    height, width = plan.patch_embed.patch_size
    return rows * height, cols * width


def check_finite(file: Path, tensors: Tensors) -> None:
    """Refuse NaN and infinity.

    Args:
        file: For messages.
        tensors: Of the model, or of the file.

    Raises:
        VitError: A tensor has them; the first one is named.
    """
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            what = "NaN" if tensor.isnan().any() else "infinity"
            raise VitError(
                f"{file} cannot be used: {name} has {what}, so its training has failed or the file is "
                "damaged; take an earlier checkpoint"
            )


def some(names: list[str]) -> str:
    """The first of some names, and the number of the others."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _pixels(patch: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, patch))} pixels"
