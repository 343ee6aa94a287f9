"""What the arguments of generation may be, in one line each where they are something else."""

from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from vit.errors import UsageError, VitError


def require_integer(name: str, value: Any) -> None:
    """Refuse what is no whole number; a truth value is none.

    Raises:
        UsageError: With the value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} is {value!r}, expected a whole number")


def require_number(name: str, value: Any) -> None:
    """Refuse what is no number; a truth value is none.

    Raises:
        UsageError: With the value.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name} is {value!r}, expected a number")


def require_batch(ids: Any, vocabulary: int) -> None:
    """Refuse what is no batch of ids.

    Args:
        ids: int64 or int32 (B, N).
        vocabulary: Ids are from 0 to below it.

    Raises:
        VitError: As said.
    """
    if not isinstance(ids, Tensor):
        raise VitError(f"ids are of type {type(ids).__name__}, expected a tensor (B, N), torch.int64")
    if ids.ndim != 2 or ids.dtype not in (torch.int64, torch.int32):
        raise VitError(
            f"ids have shape {tuple(ids.shape)} and {ids.dtype}, expected (B, N), torch.int64: ids[None] for "
            "one prompt"
        )
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        raise VitError(
            f"ids are from {int(ids.min())} to {int(ids.max())}, expected 0 to {vocabulary - 1}: those of "
            "the model's vocabulary"
        )


def require_mask(mask: Any, ids: Tensor) -> None:
    """Refuse what is no mask of these ids, bool (B, N).

    Raises:
        VitError: As said.
    """
    if not isinstance(mask, Tensor):
        raise VitError(f"mask is of type {type(mask).__name__}, expected a tensor (B, N), torch.bool")
    if mask.dtype != torch.bool:
        raise VitError(f"mask is {mask.dtype}, expected torch.bool, True for a token: mask.bool()")
    if mask.shape != ids.shape:
        raise VitError(f"mask has shape {tuple(mask.shape)}, expected {tuple(ids.shape)}: one entry per id")
