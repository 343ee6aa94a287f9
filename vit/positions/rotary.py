"""Rotary positions of a sequence and of a grid (Su et al. 2021, "RoFormer", section 3.2)."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from vit.core.relations import Relation, Rotation, window_mask

PRECISIONS = ("float32", "rounded", "full")


def exponents(count: int) -> Tensor:
    """i / count for i = 0 to `count` - 1, float32 (count,)."""
    return torch.arange(0, 2 * count, 2).float() / (2 * count)


def frequencies(count: int, temperature: float) -> Tensor:
    """temperature^(-i / count) for i = 0 to `count` - 1, float32 (count,)."""
    return 1.0 / temperature ** exponents(count)


class SequenceRotary(nn.Module):
    """Each pair of channels turns by position times its frequency.

    Args:
        head_width: K.
        depth: L.
        temperature: The largest wavelength over 2 pi: one for all layers, or one per layer.
        window: Positions to each side that a token attends to, for all layers or one per layer; None: all.

    Raises:
        ValueError: `head_width` is odd, or a number of values that is not `depth`.
    """

    def __init__(
        self,
        head_width: int,
        depth: int,
        *,
        temperature: float | Sequence[float] = 10_000.0,
        window: int | Sequence[int | None] | None = None,
    ):
        super().__init__()
        if head_width % 2:
            raise ValueError(f"head_width is {head_width}, expected an even number for rotary positions")
        temperatures = list(temperature) if isinstance(temperature, Sequence) else [temperature] * depth
        windows = list(window) if isinstance(window, Sequence) else [window] * depth
        for name, values in (("temperature", temperatures), ("window", windows)):
            if len(values) != depth:
                raise ValueError(f"{name} has {len(values)} values, expected {depth}: one per layer")
        self.pairs, self.layers = head_width // 2, list(zip(temperatures, windows, strict=True))

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return f"(temperature, window)={self.layers}"

    def forward(self, queries: Tensor, keys: Tensor) -> list[Relation]:
        """Positions of queries, int64 (B or 1, N), and of keys (B or 1, M) -> one relation per layer."""
        kinds = {kind: self._relation(*kind, queries, keys) for kind in dict.fromkeys(self.layers)}
        return [kinds[kind] for kind in self.layers]

    def _relation(self, temperature: float, window: int | None, queries: Tensor, keys: Tensor) -> Relation:
        frequency = frequencies(self.pairs, temperature).to(queries.device)
        mask = None if window is None else window_mask(queries, keys, window)
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
        offset: Added to the index of each patch, before any scaling.
        periods: Whether angles are coordinates divided by periods, as in DINOv3's own code, rather than
            multiplied by frequencies. The two differ by rounding alone.
        precision: How angles are computed for a model of float64: `float32`, all in float32; `rounded`, in
            the model's dtype, with sines and cosines rounded to float32; `full`, in the model's dtype.
            Coordinates and frequencies are those of float32 in any case.

    Raises:
        ValueError: `head_width` is no multiple of 4, unknown coordinates, or an unknown precision.
    """

    def __init__(
        self,
        head_width: int,
        depth: int,
        *,
        temperature: float = 100.0,
        coordinates: str = "unit",
        grid: Sequence[int] | None = None,
        offset: float = 0.0,
        periods: bool = False,
        precision: str = "float32",
    ):
        super().__init__()
        if head_width % 4:
            raise ValueError(f"head_width is {head_width}, expected a multiple of 4 for rotary patches")
        if coordinates not in ("unit", "index"):
            raise ValueError(f"coordinates are {coordinates!r}, expected 'unit' or 'index'")
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of: {', '.join(PRECISIONS)}")
        self.quarter, self.depth, self.temperature = head_width // 4, depth, temperature
        self.coordinates, self.grid, self.offset = coordinates, grid, offset
        self.periods, self.precision = periods, precision

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        grid = None if self.grid is None else tuple(self.grid)
        return f"{self.coordinates}, temperature={self.temperature}, grid={grid}, offset={self.offset}"

    def forward(
        self, rows: int, cols: int, prefix: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> list[Relation]:
        """One relation for each layer of a grid; tokens of the prefix are not turned.

        Args:
            rows: Of patches.
            cols: Of patches.
            prefix: Tokens before the patches.
            device: Of the relations.
            dtype: Of the model.
        """
        dtype = torch.float32 if self.precision == "float32" else torch.promote_types(dtype, torch.float32)
        by_row = self._angles(0, rows, device, dtype)[:, None].expand(rows, cols, -1)
        by_col = self._angles(1, cols, device, dtype)[None].expand(rows, cols, -1)
        angle = torch.cat([by_row, by_col], -1).flatten(0, 1)  # (patches, K/2)
        rotation = rotation_by(nn.functional.pad(angle, (0, 0, prefix, 0)))
        if self.precision == "rounded":
            rotation = Rotation(rotation.cos.float(), rotation.sin.float())
        return [Relation(rotation)] * self.depth

    def _angles(self, axis: int, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Of each place along an axis: (length, K/4)."""
        place = self._places(axis, length, device)[:, None]
        around = 2 * pi if self.coordinates == "unit" else 1.0
        if self.periods:
            period = self.temperature ** exponents(self.quarter)
            return around * place.to(dtype) / period.to(device, dtype)
        return around * place * frequencies(self.quarter, self.temperature).to(device, dtype)

    def _places(self, axis: int, length: int, device: torch.device) -> Tensor:
        index = torch.arange(length, device=device).float()
        if self.coordinates == "unit":
            return 2 * ((index + 0.5 + self.offset) / length) - 1
        index = index + self.offset
        return index if self.grid is None else index / length * self.grid[axis]


class MixedGridRotary(nn.Module):
    """Each pair of each head turns by row and column, with frequencies that are learned.

    Heo et al. 2024, "Rotary position embedding for vision transformer", section 3.2 (RoPE-Mixed). Angles are
    computed in float32.

    Args:
        head_width: K.
        depth: L.
        heads: H.
        temperature: Of the first frequencies.

    Raises:
        ValueError: `head_width` is no multiple of 4.
    """

    def __init__(self, head_width: int, depth: int, *, heads: int, temperature: float = 10.0):
        super().__init__()
        if head_width % 4:
            raise ValueError(f"head_width is {head_width}, expected a multiple of 4 for rotary patches")
        size = frequencies(head_width // 4, temperature)
        turn = torch.rand(depth, heads, 1) * 2 * pi  # each head looks along axes of its own
        along = torch.cat([turn.cos() * size, (turn + pi / 2).cos() * size], -1)
        across = torch.cat([turn.sin() * size, (turn + pi / 2).sin() * size], -1)
        self.frequency = nn.Parameter(torch.stack([along, across]))  # (2, L, H, K/2): of rows, of columns

    def forward(
        self, rows: int, cols: int, prefix: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> list[Relation]:
        """One relation for each layer of a grid; tokens of the prefix are not turned."""
        down = torch.arange(rows, device=device).float().repeat_interleave(cols)[:, None]  # (patches, 1)
        across = torch.arange(cols, device=device).float().repeat(rows)[:, None]
        of_rows, of_cols = self.frequency.float()[..., None, :]  # (L, H, 1, K/2) each
        angles = nn.functional.pad(down * of_rows + across * of_cols, (0, 0, prefix, 0))  # (L, H, N, K/2)
        return [Relation(rotation_by(angle[None])) for angle in angles]


def rotation_by(angle: Tensor) -> Rotation:
    """The rotation by angles, float (..., N, K/2)."""
    return Rotation(angle.cos(), angle.sin())
