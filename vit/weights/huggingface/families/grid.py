"""What the families of image models have in common: pixels, patches, positions, blocks."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.core.pooling import POOLERS
from vit.errors import VitError
from vit.vision.patches import patch_grid
from vit.weights.huggingface.config import hidden_width, named_activation


def pixels(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the tower about an image and its patches."""
    size, patch = (_pair(name, config[name]) for name in ("image_size", "patch_size"))
    return {
        "image_size": size,
        "patch_size": patch,
        "channels": config.get("num_channels", 3),
        "depth": config["num_hidden_layers"],
        # Their convolution leaves out what is less than a patch.
        "trim": any(side % part for side, part in zip(size, patch, strict=True)),
    }


def grid_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of patches in an image of the usual size."""
    size, patch = (_pair(name, config[name]) for name in ("image_size", "patch_size"))
    return patch_grid(size, patch, trim=True)


def block_of(config: Mapping[str, Any], state: dict[str, Tensor], **parts: Any) -> BlockSpec:
    """What the blocks share; `parts` are further fields, or others."""
    width = config["hidden_size"]
    usual = {
        "width": width,
        "heads": config["num_attention_heads"],
        "mlp_ratio": hidden_width(state) / width,
        "norm_eps": config["layer_norm_eps"],
    }
    if "activation" not in parts:
        parts["activation"] = named_activation(dict(config), "hidden_act", "gelu")
    return BlockSpec(**(usual | parts))


def flatten_patches(state: dict[str, Tensor]) -> None:
    """The kernel of the convolution that makes patches becomes the matrix of a linear layer."""
    state["tokenizer.project.weight"] = state["tokenizer.project.weight"].flatten(1)


def place_positions(
    family: str, state: dict[str, Tensor], grid: tuple[int, int], prefix: tuple[str, ...]
) -> None:
    """Split the table of positions: its rows of patches become a grid, the others parts of their tokens.

    Args:
        family: The `model_type`.
        state: Tensors under our names, changed.
        grid: Rows and columns of patches.
        prefix: The names of the tokens that the first rows of the table belong to.

    Raises:
        VitError: The table has another number of rows.
    """
    rows, cols = grid
    table = state["positions.table"].flatten(0, -2)
    expected = len(prefix) + rows * cols
    if len(table) != expected:
        raise VitError(
            f"cannot import this {family}: its table of positions has {len(table)} rows, expected {expected} "
            f"for the {rows} x {cols} patches of its image_size and patch_size"
        )
    for row, name in enumerate(prefix):
        state[name] = state[name].reshape(1, 1, -1) + table[row]
    state["positions.table"] = table[len(prefix) :].unflatten(0, grid)


def pooler_of(config: Mapping[str, Any], state: dict[str, Tensor]) -> str | None:
    """The activation of the pooler, where there is one: that of a model without a head.

    Raises:
        VitError: Another activation, or another number of channels after it.
    """
    if "pooler.0.weight" not in state:
        return None
    kind, (after, before) = config.get("pooler_act", "tanh"), state["pooler.0.weight"].shape
    if kind not in POOLERS:
        raise VitError(
            f"cannot import a pooler whose pooler_act is {kind}, expected one of {', '.join(POOLERS)}"
        )
    if after != before:
        raise VitError(
            f"cannot import a pooler whose pooler_output_size is {after}, expected the model's {before}"
        )
    return str(kind)


def _pair(name: str, size: Any) -> tuple[int, int]:
    sides = [size, size] if isinstance(size, int) else size
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        raise ValueError(f"{name} is {size!r}, expected a number, or a height and a width")
    return int(sides[0]), int(sides[1])
