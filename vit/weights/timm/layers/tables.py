"""Biases by offset of rows and columns: one argument of our tower, and their tables.

timm keeps them as tables of all offsets, with three more biases for pairs with the class token, or as an MLP
that reads the logarithms of offsets; here the MLP is computed at every offset of the grid.
"""

from collections.abc import Sequence
from typing import Any

from timm.layers import Mlp
from timm.layers.pos_embed_rel import RelPosBias, RelPosMlp
from timm.models.beit import Attention as BeitAttention
from timm.models.beit import RelativePositionBias
from torch import nn

from vit.weights.timm.held import Held, Named, always, same, stacked, total
from vit.weights.timm.parts import DROPS, expect, expect_linear, find, refuse

FLAT = (RelPosBias, RelativePositionBias, BeitAttention)  # these hold `relative_position_bias_table`
KINDS = (RelPosBias, RelPosMlp, RelativePositionBias, BeitAttention)
Layers = Sequence[tuple[str, ...]]


def read_tables(model: Any, layers: Layers) -> dict[str, Any] | None:
    """`relative`, an argument of our tower; None where no layer has a bias.

    Args:
        model: timm's.
        layers: Paths of the biases that are added in each layer.

    Raises:
        VitError: A bias is not one of ours, or only some layers have one.
    """
    paths = list(dict.fromkeys(path for layer in layers for path in layer))
    if not paths:
        return None
    for index, layer in enumerate(layers):
        if not layer:
            refuse(f"the bias of blocks.{index} by relative positions", "none", f"one, as {paths[0]}")
    rows, cols = find(model, "patch_embed").grid_size
    extras = [_extras(model, path, (rows, cols)) for path in paths]
    return {
        "kind": "table",
        "rows": rows,
        "cols": cols,
        "prefix_bias": any(extras),
        "shared": len(paths) == 1 and len(layers) > 1,
    }


def table_tensors(model: Any, layers: Layers) -> Named:
    """The tables of what `read_tables` takes, and the biases of pairs with the prefix."""
    relative = read_tables(model, layers)
    if relative is None:
        return
    grid = (relative["rows"], relative["cols"])
    used = layers[:1] if relative["shared"] else layers
    tables, extras = [], []
    for layer in used:
        parts = [_table(model, path, grid) for path in layer]
        tables.append(total([table for table, _ in parts]))
        extras.append(total([extra for _, extra in parts]))
    yield "relative.table", stacked(tables)
    if relative["prefix_bias"]:
        yield "relative.prefix", stacked(extras)


def _extras(model: Any, path: str, grid: tuple[int, int]) -> bool:
    """Whether the bias at a path has those of pairs with the prefix.

    Raises:
        VitError: It is not one of ours.
    """
    bias = expect(model, path, KINDS)
    heads = find(model, "blocks.0.attn").num_heads
    if tuple(bias.window_size) != tuple(grid):
        refuse(f"{path}.window_size", tuple(bias.window_size), f"{tuple(grid)}, the grid of patches")
    if type(bias) is RelPosMlp:
        _require_mlp(model, path, heads)
        return False
    extras = len(bias.relative_position_bias_table) - _offsets(grid)
    if bias.relative_position_bias_table.shape[1] != heads or extras not in (0, 3):
        shape = tuple(bias.relative_position_bias_table.shape)
        refuse(
            f"{path}.relative_position_bias_table",
            f"of shape {shape}",
            f"({_offsets(grid)} or 3 more, {heads})",
        )
    return extras == 3


def _require_mlp(model: Any, path: str, heads: int) -> None:
    """Refuse another MLP than a hidden layer with ReLU, with a bounded or a free result."""
    bias = find(model, path)
    expect(model, f"{path}.mlp", (Mlp,))
    expect(model, f"{path}.mlp.act", (nn.ReLU,))
    expect(model, f"{path}.mlp.norm", (nn.Identity,))
    for name in ("drop1", "drop2"):
        expect(model, f"{path}.mlp.{name}", DROPS)
    hidden = expect(model, f"{path}.mlp.fc1", (nn.Linear,)).out_features
    expect_linear(model, f"{path}.mlp.fc1", (hidden, 2))
    expect_linear(model, f"{path}.mlp.fc2", (heads, hidden))
    expect(model, f"{path}.bias_act", (nn.Identity, nn.Sigmoid))
    if not isinstance(bias.bias_gain, int | float | None):
        refuse(f"{path}.bias_gain", type(bias.bias_gain).__name__, "a number or None")


def _table(model: Any, path: str, grid: tuple[int, int]) -> tuple[Held, Held]:
    """Biases by offset, (H, 2 rows - 1, 2 cols - 1), and of pairs with the prefix, (H, 3); zeros: none."""
    bias = find(model, path)
    size = (2 * grid[0] - 1, 2 * grid[1] - 1)
    if type(bias) is not RelPosMlp:
        flat = bias.relative_position_bias_table.T  # (H, offsets and 3)
        none = flat.shape[1] == _offsets(grid)
        extra = always(flat.new_zeros(len(flat), 3)) if none else same(flat[:, _offsets(grid) :])
        return same(flat[:, : _offsets(grid)].unflatten(1, size)), extra
    hidden = find(model, f"{path}.mlp.fc1")(bias.rel_coords_log).relu()  # (2 rows - 1, 2 cols - 1, hidden)
    values = bias.bias_act(find(model, f"{path}.mlp.fc2")(hidden)).permute(2, 0, 1)
    values = values if bias.bias_gain is None else values * bias.bias_gain
    return always(values), always(values.new_zeros(len(values), 3))


def _offsets(grid: tuple[int, int]) -> int:
    return (2 * grid[0] - 1) * (2 * grid[1] - 1)
