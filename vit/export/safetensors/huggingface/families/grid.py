"""What the families of image models have in common: pixels, patches, a table of positions."""

from typing import Any

import torch

from vit.export.safetensors.huggingface.counterpart import Architecture, NoCounterpart, State, block_fields


def image_config(ours: Architecture) -> dict[str, Any]:
    """The fields that all of them have.

    Raises:
        NoCounterpart: The patches come from convolutions.
    """
    if ours["tokenizer"] != "patch":
        raise NoCounterpart(f"tokenizer is {ours['tokenizer']!r}, and there it is 'patch'")
    return block_fields(ours) | {
        "image_size": side(ours["image_size"]),
        "patch_size": side(ours["patch_size"]),
        "num_channels": ours["channels"],
    }


def unflatten_patches(state: State, ours: Architecture) -> None:
    """The matrix of a linear layer becomes the kernel of the convolution that makes patches."""
    name = "tokenizer.project.weight"
    if name in state:
        state[name] = state[name].unflatten(1, (ours["channels"], *ours["patch_size"]))


def rows_of_positions(state: State, prefix: int, *, embedding: bool = False) -> None:
    """The grid of positions becomes rows, with zeros for the tokens before the patches.

    Args:
        state: Tensors under our names, changed.
        prefix: Number of these tokens.
        embedding: Whether it is the weight of an embedding, (N, D), and not a parameter, (1, N, D).
    """
    name = "positions.table"
    if name in state:
        table = state[name].flatten(0, 1)
        rows = torch.cat([table.new_zeros(prefix, table.shape[1]), table])
        state[name] = rows if embedding else rows[None]


def side(size: Any) -> Any:
    """One number for a square."""
    first, second = size
    return first if first == second else [first, second]
