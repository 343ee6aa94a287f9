"""Position embeddings of a grid and of a sequence: learned, or sines and cosines."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


class GridPositions(nn.Module):
    """Adds a position vector to each patch of a grid.

    Args:
        rows: Grid of the table. Another grid gets the table interpolated (bicubic).
        cols: See `rows`.
        width: D.
        kind: `learned`: a parameter; `sincos`: fixed sines and cosines (`sincos_2d`).
        antialias: Whether interpolation is antialiased, as in timm and in transformers' DINOv2 with
            registers; its ViT and its DINOv2 without them are not.

    Raises:
        ValueError: An unknown kind, or `sincos` with a width that is not a multiple of 4.
    """

    table: Tensor

    def __init__(self, rows: int, cols: int, width: int, kind: str = "learned", *, antialias: bool = True):
        super().__init__()
        self.antialias = antialias
        if kind == "learned":
            self.table = nn.Parameter(torch.randn(rows, cols, width) * width**-0.5)
        elif kind == "sincos":
            # Not persistent: it follows from the grid, so files of weights do not hold it.
            self.register_buffer("table", sincos_2d(rows, cols, width), persistent=False)
        else:
            raise ValueError(f"positions are {kind!r}, expected 'learned' or 'sincos'")

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return "" if self.antialias else "antialias=False"

    def forward(self, patches: Tensor) -> Tensor:
        """(B, rows, cols, D) -> (B, rows, cols, D), of any grid."""
        return patches + self.resized(*patches.shape[1:3]).to(patches.dtype)

    def resized(self, rows: int, cols: int) -> Tensor:
        """The table for another grid: (rows, cols, D). Computed in float32, whatever the table's dtype."""
        before = self.table.shape[:2]
        if before == (rows, cols):
            return self.table
        with torch.autocast(self.table.device.type, enabled=False):
            down, across = (
                _resampling(old, new, self.antialias, self.table.device)
                for old, new in zip(before, (rows, cols), strict=True)
            )
            table = across @ torch.tensordot(down, self.table.float(), 1)  # rows first, then columns
        return table.to(self.table.dtype)


class SequencePositions(nn.Module):
    """Adds a position vector to each token of a sequence.

    Args:
        length: Rows of the table.
        width: D.
        kind: `learned`: a parameter; `sinusoidal`: fixed sines and cosines (`sinusoidal`).

    Raises:
        ValueError: An unknown kind, or `sinusoidal` with an odd width.
    """

    table: Tensor

    def __init__(self, length: int, width: int, kind: str = "learned"):
        super().__init__()
        if kind == "learned":
            self.table = nn.Parameter(torch.randn(length, width) * width**-0.5)
        elif kind == "sinusoidal":
            self.register_buffer("table", sinusoidal(length, width), persistent=False)
        else:
            raise ValueError(f"positions are {kind!r}, expected 'learned' or 'sinusoidal'")

    def forward(self, tokens: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D).

        Args:
            tokens: (B, N, D), N at most `length`.
            position_ids: int64 (B, N), the row of the table for each token; None: 0, 1, 2, ...
        """
        table = self.table[: tokens.shape[1]] if position_ids is None else self.table[position_ids]
        return tokens + table.to(tokens.dtype)


def _resampling(before: int, after: int, antialias: bool, device: torch.device) -> Tensor:
    """Interpolation along one axis as a matrix: (after, before).

    A matrix, because torch.compile has no gradient of bicubic interpolation with dynamic sizes.
    """
    single = torch.eye(before, device=device)[None, None]
    return interpolate(single, (after, before), mode="bicubic", antialias=antialias)[0, 0]


def sinusoidal(length: int, width: int, *, temperature: float = 10_000.0) -> Tensor:
    """Vaswani et al. 2017, section 3.5: sines in the even channels, cosines in the odd ones.

    Returns:
        float32, (length, D)

    Raises:
        ValueError: `width` is odd.
    """
    if width % 2:
        raise ValueError(f"width is {width}, expected an even number for sinusoidal positions")
    frequency = temperature ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()


def sincos_2d(rows: int, cols: int, width: int, *, temperature: float = 10_000.0) -> Tensor:
    """Sines and cosines of column and row (Vaswani et al. 2017, section 3.5, applied to each axis).

    Returns:
        float32, (rows, cols, D): a quarter of D each for sin and cos of the row, sin and cos of the column.

    Raises:
        ValueError: `width` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width is {width}, expected a multiple of 4 for 2-D sin-cos positions")
    frequency = temperature ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def axis(length: int) -> Tensor:
        angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], -1)  # (length, D / 2)

    by_row = axis(rows)[:, None].expand(rows, cols, -1)
    by_col = axis(cols)[None].expand(rows, cols, -1)
    return torch.cat([by_row, by_col], -1).float()
