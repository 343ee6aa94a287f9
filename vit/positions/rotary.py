"""Rotary positions of a sequence and of a grid (Su et al. 2021, "RoFormer", section 3.2)."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from vit.core.relations import Relation, Rotation, window_mask


def frequencies(count: int, temperature: float) -> Tensor:
    """temperature^(-i / count) for i = 0 to `count` - 1, float32 (count,)."""
    exponents = torch.arange(0, 2 * count, 2).float() / (2 * count)
    return 1.0 / temperature**exponents


class SequenceRotary(nn.Module):
    """Each pair of channels turns by position times its frequency.

    Args:
        head_width: K.
        depth: L.
        temperature: The largest wavelength over 2 pi: one for all layers, or one per layer.
        reach: Positions to each side that a token attends to, for all layers or one per layer; None: all.

    Raises:
        ValueError: `head_width` is odd, or a number of values that is not `depth`.
    """

    def __init__(
        self,
        head_width: int,
        depth: int,
        *,
        temperature: float | Sequence[float] = 10_000.0,
        reach: int | Sequence[int | None] | None = None,
    ):
        super().__init__()
        if head_width % 2:
            raise ValueError(f"head_width is {head_width}, expected an even number for rotary positions")
        temperatures = list(temperature) if isinstance(temperature, Sequence) else [temperature] * depth
        reaches = list(reach) if isinstance(reach, Sequence) else [reach] * depth
        for name, values in (("temperature", temperatures), ("reach", reaches)):
            if len(values) != depth:
                raise ValueError(f"{name} has {len(values)} values, expected {depth}: one per layer")
        self.pairs, self.layers = head_width // 2, list(zip(temperatures, reaches, strict=True))

    def forward(self, queries: Tensor, keys: Tensor) -> list[Relation]:
        """Positions of queries, int64 (B or 1, N), and of keys (B or 1, M) -> one relation per layer."""
        kinds = {kind: self._relation(*kind, queries, keys) for kind in dict.fromkeys(self.layers)}
        return [kinds[kind] for kind in self.layers]

    def _relation(self, temperature: float, reach: int | None, queries: Tensor, keys: Tensor) -> Relation:
        frequency = frequencies(self.pairs, temperature).to(queries.device)
        mask = None if reach is None else window_mask(queries, keys, reach)
        return Relation(rotation_by(queries.float()[:, None, :, None] * frequency), mask=mask)


class GridRotary(nn.Module):
    """Half of a head's pairs turn by the row of a patch, the other half by its column.

    Args:
        head_width: K.
        depth: L.
        temperature: The largest wavelength over 2 pi.
        coordinates: `unit`: centres of patches in [-1, 1], times 2 pi (DINOv3); `index`: 0, 1, 2, ...
        grid: For `index`: the rows and cols that coordinates are scaled to, whatever the image's (EVA-02);
            None: not scaled.

    Raises:
        ValueError: `head_width` is no multiple of 4, or unknown coordinates.
    """

    def __init__(
        self,
        head_width: int,
        depth: int,
        *,
        temperature: float = 100.0,
        coordinates: str = "unit",
        grid: Sequence[int] | None = None,
    ):
        super().__init__()
        if head_width % 4:
            raise ValueError(f"head_width is {head_width}, expected a multiple of 4 for rotary patches")
        if coordinates not in ("unit", "index"):
            raise ValueError(f"coordinates are {coordinates!r}, expected 'unit' or 'index'")
        self.quarter, self.depth, self.temperature = head_width // 4, depth, temperature
        self.coordinates, self.grid = coordinates, grid

    def forward(self, rows: int, cols: int, prefix: int, device: torch.device) -> list[Relation]:
        """One relation for each layer of a grid; tokens of the prefix are not turned."""
        frequency = frequencies(self.quarter, self.temperature).to(device)
        down, across = (self._axis(axis, length, device) for axis, length in enumerate((rows, cols)))
        by_row = (down[:, None] * frequency)[:, None].expand(rows, cols, -1)
        by_col = (across[:, None] * frequency)[None].expand(rows, cols, -1)
        angle = torch.cat([by_row, by_col], -1).flatten(0, 1)  # (patches, K/2)
        return [Relation(rotation_by(nn.functional.pad(angle, (0, 0, prefix, 0))))] * self.depth

    def _axis(self, axis: int, length: int, device: torch.device) -> Tensor:
        index = torch.arange(length, device=device).float()
        if self.coordinates == "unit":
            return 2 * pi * (2 * (index + 0.5) / length - 1)
        return index if self.grid is None else index / length * self.grid[axis]


class MixedGridRotary(nn.Module):
    """Each pair of each head turns by row and column, with frequencies that are learned.

    Heo et al. 2024, "Rotary position embedding for vision transformer", section 3.2 (RoPE-Mixed).

    Args:
        head_width: K.
        depth: L.
        heads: H.
        temperature: Of the first frequencies.
    """

    def __init__(self, head_width: int, depth: int, *, heads: int, temperature: float = 10.0):
        super().__init__()
        size = frequencies(head_width // 4, temperature)
        turn = torch.rand(depth, heads, 1) * 2 * pi  # each head looks along axes of its own
        along = torch.cat([turn.cos() * size, (turn + pi / 2).cos() * size], -1)
        across = torch.cat([turn.sin() * size, (turn + pi / 2).sin() * size], -1)
        self.frequency = nn.Parameter(torch.stack([along, across]))  # (2, L, H, K/2): of rows, of columns

    def forward(self, rows: int, cols: int, prefix: int, device: torch.device) -> list[Relation]:
        """One relation for each layer of a grid; tokens of the prefix are not turned."""
        down = torch.arange(rows, device=device).to(self.frequency.dtype).repeat_interleave(cols)
        across = torch.arange(cols, device=device).to(self.frequency.dtype).repeat(rows)
        angles = torch.einsum("an,alhk->lhnk", torch.stack([down, across]), self.frequency)
        angles = nn.functional.pad(angles, (0, 0, prefix, 0))  # (L, H, N, K/2)
        return [Relation(rotation_by(angle[None])) for angle in angles]


def rotation_by(angle: Tensor) -> Rotation:
    """The rotation by angles, float (..., N, K/2)."""
    return Rotation(angle.cos(), angle.sin())
