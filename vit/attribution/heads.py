"""Head fusion: one attention matrix from those of all heads. The functions need no import of torch.

The interactive page computes the same fusions in the browser: `vit/viewer/page_math.js`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from vit.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

# (B, H, N, M) -> (B, N, M)
FUSIONS: dict[str, "Callable[[Tensor], Tensor]"] = {
    "mean": lambda weights: weights.mean(1),
    "max": lambda weights: weights.amax(1),
    "min": lambda weights: weights.amin(1),
}


def fuse_heads(weights: "Tensor", fusion: str = "mean") -> "Tensor":
    """One matrix from all heads: (B, H, N, M) -> (B, N, M).

    Raises:
        UsageError: An unknown fusion.
    """
    if fusion not in FUSIONS:
        raise UsageError(f"fusion is {fusion!r}, expected one of: {', '.join(FUSIONS)}")
    return FUSIONS[fusion](weights)
