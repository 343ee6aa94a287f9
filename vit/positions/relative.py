"""Biases on the scores of attention by how far apart two tokens are."""

from math import log

import torch
from torch import Tensor, nn

from vit.core.relations import Relation


class BucketBias(nn.Module):
    """A learned bias per head and bucket of distances (Raffel et al. 2020, section 2.1).

    Half of the buckets of a direction hold one distance each, the others grow logarithmically.

    Args:
        heads: H.
        depth: L.
        buckets: Number of buckets, of both directions together.
        max_distance: Distance from which on all are in the last bucket.
        bidirectional: Whether keys after the query have buckets of their own; otherwise their distance is 0.
        shared: Whether all layers share one table.

    Raises:
        ValueError: Too few buckets for one distance each, or `max_distance` is a distance that has its own.
    """

    def __init__(
        self,
        heads: int,
        depth: int,
        *,
        buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        shared: bool = True,
    ):
        super().__init__()
        self.depth, self.buckets, self.max_distance, self.bidirectional = (
            depth,
            buckets,
            max_distance,
            bidirectional,
        )
        own = buckets // (4 if bidirectional else 2)  # distances of a direction with a bucket of their own
        if not 0 < own < max_distance:
            raise ValueError(
                f"buckets are {buckets} up to distance {max_distance}, expected at least "
                f"{4 if bidirectional else 2}, and a distance above {own}"
            )
        self.tables = nn.ModuleList(nn.Embedding(buckets, heads) for _ in range(1 if shared else depth))

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return f"max_distance={self.max_distance}, bidirectional={self.bidirectional}"

    def forward(self, queries: Tensor, keys: Tensor) -> list[Relation]:
        """Positions of queries, int64 (B or 1, N), and of keys (B or 1, M) -> one relation per layer."""
        bucket = self.bucket(keys[:, None, :] - queries[:, :, None])  # (B or 1, N, M)
        relations = [Relation(bias=table(bucket).permute(0, 3, 1, 2)) for table in self.tables]
        return relations * self.depth if len(relations) == 1 else relations

    def bucket(self, distance: Tensor) -> Tensor:
        """Key minus query, int64 -> bucket, int64 of the same shape."""
        buckets = self.buckets
        first = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            first = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        growth = torch.log(distance.float() / exact) / log(self.max_distance / exact) * (buckets - exact)
        large = (exact + growth.clamp(min=0).long()).clamp(max=buckets - 1)
        return first + torch.where(distance < exact, distance, large)


class GridBias(nn.Module):
    """A learned bias per head and offset of rows and columns (Liu et al. 2021, "Swin", section 3.2).

    Args:
        heads: H.
        depth: L.
        rows: Grid of the tables. Another grid gets them interpolated.
        cols: See `rows`.
        prefix_bias: Three learned biases per head for pairs with a token of the prefix: prefix to patch,
            patch to prefix, prefix to prefix (Bao et al. 2022, "BEiT"); False: zero.
        shared: Whether all layers share one table.
        interpolation: `bicubic` or `bilinear`.

    Raises:
        ValueError: Another interpolation.
    """

    def __init__(
        self,
        heads: int,
        depth: int,
        *,
        rows: int,
        cols: int,
        prefix_bias: bool = False,
        shared: bool = False,
        interpolation: str = "bicubic",
    ):
        super().__init__()
        if interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"interpolation is {interpolation!r}, expected 'bicubic' or 'bilinear'")
        tables = 1 if shared else depth
        self.depth, self.interpolation = depth, interpolation
        self.table = nn.Parameter(torch.zeros(tables, heads, 2 * rows - 1, 2 * cols - 1))
        self.prefix = nn.Parameter(torch.zeros(tables, heads, 3)) if prefix_bias else None

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return "" if self.interpolation == "bicubic" else f"interpolation={self.interpolation}"

    def forward(
        self, rows: int, cols: int, prefix: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> list[Relation]:
        """One relation for each layer of a grid."""
        table = self.resized(rows, cols)
        row = torch.arange(rows, device=device).repeat_interleave(cols)
        col = torch.arange(cols, device=device).repeat(rows)
        down = row[:, None] - row + rows - 1  # (patches, patches), query minus key
        across = col[:, None] - col + cols - 1
        bias = nn.functional.pad(table[:, :, down, across], (prefix, 0, prefix, 0))
        if self.prefix is not None and prefix:
            bias = bias + self._of_prefix(bias.shape[-1], prefix, device)
        relations = [Relation(bias=layer[None]) for layer in bias]  # (1, H, N, N) each
        return relations * self.depth if len(relations) == 1 else relations

    def _of_prefix(self, tokens: int, prefix: int, device: torch.device) -> Tensor:
        """The biases of pairs with the prefix, zero elsewhere: (tables, H, N, N)."""
        assert self.prefix is not None
        is_prefix = torch.arange(tokens, device=device) < prefix
        pairs = [
            is_prefix[:, None] & ~is_prefix,
            ~is_prefix[:, None] & is_prefix,
            is_prefix[:, None] & is_prefix,
        ]
        return torch.einsum("lhk,knm->lhnm", self.prefix, torch.stack(pairs).to(self.prefix.dtype))

    def resized(self, rows: int, cols: int) -> Tensor:
        """The tables for another grid: (tables, H, 2 rows - 1, 2 cols - 1)."""
        size = (2 * rows - 1, 2 * cols - 1)
        if self.table.shape[2:] == size:
            return self.table
        return nn.functional.interpolate(self.table, size, mode=self.interpolation)
