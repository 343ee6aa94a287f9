"""Boolean masks. `True` = may be attended to, everywhere."""

import torch
from torch import Tensor


def broadcast_mask(mask: Tensor | None, batch: int, queries: int, keys: int) -> Tensor | None:
    """Bring a mask to a shape that broadcasts with scores (B, H, queries, keys).

    Args:
        mask: bool, (B, keys), one entry per token; or (B or 1, H or 1, queries or 1, keys). None: no mask.
        batch: B.
        queries: Number of query tokens.
        keys: Number of key tokens.

    Raises:
        TypeError: The mask is not boolean.
        ValueError: Its shape fits neither form.
    """
    if mask is None:
        return None
    if mask.dtype is not torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}, expected torch.bool: True = may be attended to")
    shape = tuple(mask.shape)
    if mask.ndim == 2 and shape != (batch, keys):
        raise ValueError(f"mask has shape {shape}, expected {(batch, keys)}: one entry per token")
    if mask.ndim == 2:
        return mask[:, None, None, :]
    if mask.ndim == 4 and shape[0] in (1, batch) and shape[2] in (1, queries) and shape[3] == keys:
        return mask
    raise ValueError(
        f"mask has shape {shape}, expected {(batch, keys)} or "
        f"(batch or 1, heads or 1, queries or 1, keys) = ({batch}, H, {queries}, {keys})"
    )
