"""Labels: the most probable classes of each input."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vit.core import Tower
from vit.inference.rows import BASE_COLUMNS, Pipeline
from vit.inputs.decoding import DEFAULT_LIMITS, Limits
from vit.jobs.table import Columns, Row

COLUMNS: Columns = BASE_COLUMNS | {"label": str, "index": int, "score": float, "topk": list[dict]}

# Between the best two logits: the second class is at least e^-0.1 = 0.9 times as probable as the first. Half
# precision seldom changes their difference by more (docs/performance.md has the measurement).
TIE_MARGIN = 0.1


def labeller(
    model: Tower, *, topk: int = 5, batch_size: int = 64, limits: Limits = DEFAULT_LIMITS
) -> Pipeline:
    """The pipeline of `vit predict`.

    If half precision leaves the best two classes nearly tied, the input is computed again in the weights'
    dtype. Nearly all inputs whose best class half precision would change are among these.

    Args:
        model: In eval mode, with `preprocess` and `labels`.
        topk: Number of classes in the `topk` column; fewer if the model has fewer.
        batch_size: As in `Pipeline`.
        limits: As in `Pipeline`.
    """

    def postprocess(logits: Tensor) -> Iterator[Row]:
        scores, classes = top_classes(logits, topk)
        for row_scores, row_classes in zip(scores.tolist(), classes.tolist(), strict=True):
            best = [
                # Further digits depend on the order of float32 sums.
                {"label": model.labels[index], "score": round(score, 6)}
                for score, index in zip(row_scores, row_classes, strict=True)
            ]
            yield {
                "label": best[0]["label"],
                "index": row_classes[0],
                "score": best[0]["score"],
                "topk": best,
            }

    return Pipeline(
        model, model, COLUMNS, postprocess, batch_size=batch_size, limits=limits, uncertain=nearly_tied
    )


def nearly_tied(logits: Tensor) -> Tensor:
    """Logits (B, classes) -> bool (B,): whether the best two differ by less than `TIE_MARGIN`."""
    if logits.shape[1] < 2:
        return torch.zeros(len(logits), dtype=torch.bool)
    best, second = logits.topk(2).values.unbind(1)
    return best - second < TIE_MARGIN


def top_classes(logits: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) -> probabilities and classes of the best, (B, k) each, best first."""
    probabilities = logits.float().softmax(-1)
    return probabilities.topk(min(topk, probabilities.shape[1]))
