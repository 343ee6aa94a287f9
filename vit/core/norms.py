"""The norms of all towers are made here."""

from collections.abc import Callable

from torch import nn

NORMS: dict[str, Callable[[int, float], nn.Module]] = {
    "layer": lambda width, eps: nn.LayerNorm(width, eps=eps),  # Ba, Kiros & Hinton 2016
    "layer_no_bias": lambda width, eps: nn.LayerNorm(width, eps=eps, bias=False),
    "rms": lambda width, eps: nn.RMSNorm(width, eps=eps),  # Zhang & Sennrich 2019
}


def make_norm(width: int, eps: float, *, kind: str = "layer", used: bool = True) -> nn.Module:
    """A norm over the last axis; an identity where the architecture has no norm in this place.

    Args:
        width: Size of the last axis.
        eps: Added to the variance.
        kind: A name in `NORMS`.
        used: Whether there is a norm.

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in NORMS:
        raise ValueError(f"norm_kind is {kind!r}, expected one of: {', '.join(NORMS)}")
    return NORMS[kind](width, eps) if used else nn.Identity()
