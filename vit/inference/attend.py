"""`vit.attend`: from a model and images to maps over the patches."""

import torch
from torch import Tensor

from vit.attribution import parse_query, rollout, seed_row, to_grid
from vit.core import record_attention
from vit.errors import VitError
from vit.vision import VisionTransformer

METHODS = ("rollout",)


@torch.no_grad()
def attend(
    model: VisionTransformer,
    images: Tensor,
    method: str = "rollout",
    target: int | None = None,
    query: str | tuple[int, int] = "cls",
) -> Tensor:
    """How much each patch of each image counts for a query.

    Args:
        model: A vision transformer of vit (`vit.load_model`, `vit.from_timm`), in eval mode.
        images: float, (B, C, height, width), preprocessed; any size that the patches tile.
        method: `rollout` (Abnar & Zuidema 2020).
        target: Class index, for methods that explain a class; rollout explains none.
        query: `cls`, what the head reads (in a model that pools otherwise: that pooling); `mean` of the
            patches; or a patch, (row, col) or "ROW,COL".

    Returns:
        (B, rows, cols), at least float32: shares of a row that sums to 1 with the prefix tokens' shares.

    Raises:
        VitError: An unknown method, a target for a method without one, or a patch outside the grid.
        ValueError: Images the model cannot read.
    """
    return explain(model, images, method, target, query)[0]


@torch.no_grad()
def explain(
    model: VisionTransformer,
    images: Tensor,
    method: str = "rollout",
    target: int | None = None,
    query: str | tuple[int, int] = "cls",
) -> tuple[Tensor, Tensor]:
    """`attend`, with the logits (B, classes) of the same forward pass beside the maps."""
    if method not in METHODS:
        raise VitError(f"method is {method!r}, expected one of: {', '.join(METHODS)}")
    if target is not None:
        raise VitError(f"target is {target}, but {method} looks at no class: leave the target out")
    asked = parse_query(query)
    with record_attention(model) as tape:
        logits = model(images)
    grid = model.grid(images)
    joint = rollout(tape)  # (B, N, N)
    seed = seed_row(asked, grid, model.prefix, pool=model.pool_kind, pool_weights=tape.pool_weights())
    seed = seed.to(joint).expand(len(joint), -1)
    scores = torch.bmm(seed[:, None], joint)[:, 0]  # (B, N)
    return to_grid(scores, grid, model.prefix), logits
