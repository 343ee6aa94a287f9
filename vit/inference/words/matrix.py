"""One matrix of attention between words, from those of all layers and heads."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vit.attribution.methods.raw import layer_index, select_heads
from vit.attribution.methods.rollout import rollout


def word_matrix(weights: Sequence[Tensor], method: str, options: Mapping[str, Any]) -> Tensor:
    """(W, W) of `raw` or `rollout`, from L weights between words, (H, W, W)."""
    if method == "rollout":
        return rollout((layer[None] for layer in weights), **options)[0]
    layer = weights[layer_index(options.get("layer", -1), len(weights))]
    return select_heads(layer[None], options.get("head"), options.get("fusion", "mean"))[0]
