"""Queries: from `cls`, `mean` or `3,4` to a weighting of the final tokens."""

from typing import Literal

import torch
from torch import Tensor

from vit.errors import UsageError, VitError

Query = Literal["cls", "mean"] | tuple[int, int]


def parse_query(query: str | tuple[int, int]) -> Query:
    """`cls`, `mean`, `ROW,COL` or (row, col) -> a query.

    Raises:
        UsageError: Anything else.
    """
    if query == "cls":
        return "cls"
    if query == "mean":
        return "mean"
    try:
        parts = query.split(",") if isinstance(query, str) else list(query)
        row, col = (int(part) for part in parts)
    except (ValueError, TypeError):
        raise UsageError(
            f"query is {query!r}, expected cls, mean, or a patch as ROW,COL counted from 0"
        ) from None
    return row, col


def seed_row(
    query: Query, grid: tuple[int, int], prefix: int, *, pool: str, pool_row: Tensor | None = None
) -> Tensor:
    """The weighting of final tokens that a query stands for.

    `cls` is what the head reads: the class token, the last token, the mean of the patches, or the attention
    pool's own weights.

    Args:
        query: From `parse_query`.
        grid: (rows, cols) of patches.
        prefix: Number of tokens before the patches.
        pool: What the head reads, a name in `vit.core.pooling.POOLS`; `cls_mean`, and `prefix`, are shares of
            the tokens that they concatenate.
        pool_row: (B, patches) or (B, N), the attention pool's weights of the tokens that it reads; required,
            and returned with zeros for the others, where the model pools by attention and `query` is `cls`.

    Returns:
        float32, (1 or B, N) with N = prefix + rows * cols; each row sums to 1 (a `pool_row` may not).

    Raises:
        VitError: A patch outside the grid.
    """
    rows, cols = grid
    patches = rows * cols
    if query == "cls" and pool in ("attention", "attention_all"):
        if pool_row is None:
            raise ValueError("the model pools by attention: pass the row of its pool")
        return torch.nn.functional.pad(pool_row, (prefix + patches - pool_row.shape[-1], 0))
    seed = torch.zeros(1, prefix + patches)
    if query == "cls" and pool in ("cls", "cls_mean"):
        seed[:, 0] = 1
        if pool == "cls_mean":
            seed[:, prefix:] += 1 / patches
            seed /= 2
    elif query == "cls" and pool == "last":
        seed[:, -1] = 1
    elif query == "cls" and pool == "prefix":
        seed[:, :prefix] = 1 / prefix
    elif query == "cls" and pool == "mean_all":
        seed[:] = 1 / (prefix + patches)
    elif isinstance(query, str):
        seed[:, prefix:] = 1 / patches
    else:
        row, col = query
        if not (0 <= row < rows and 0 <= col < cols):
            raise VitError(
                f"query is patch {row},{col}, expected 0,0 to {rows - 1},{cols - 1}: "
                f"the grid is {rows} x {cols}"
            )
        seed[:, prefix + row * cols + col] = 1
    return seed


def to_grid(scores: Tensor, grid: tuple[int, int], prefix: int) -> Tensor:
    """Scores over tokens (B, N), prefix first -> the patches' part as a map (B, rows, cols)."""
    return scores[:, prefix:].unflatten(1, grid)
