"""Labels: the most probable classes of each input."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.core import Tower, probabilities
from vit.errors import UsageError, VitError
from vit.evaluation.several.metrics import at_least
from vit.inference.rows import BASE_COLUMNS, Pipeline
from vit.inputs.decoding import DEFAULT_LIMITS, Limits
from vit.jobs.table import Columns, Row
from vit.text.matching import is_encoder_decoder, predicts_next

COLUMNS: Columns = BASE_COLUMNS | {"label": str, "index": int, "score": float, "topk": list[dict]}
SEVERAL_COLUMNS: Columns = COLUMNS | {"labels": list[str]}  # of a model that gives several labels

# Between the best two logits: the second class is at least e^-0.1 = 0.9 times as probable as the first. Half
# precision seldom changes their difference by more (docs/performance.md has the measurement).
TIE_MARGIN = 0.1

UNKNOWN, UNKNOWN_INDEX = "unknown", -1  # label and index of an input whose score is below the threshold


def labeller(
    model: Tower,
    *,
    topk: int = 5,
    unknown: float | None = None,
    batch_size: int = 64,
    limits: Limits = DEFAULT_LIMITS,
) -> Pipeline:
    """The pipeline of `vit predict`.

    If half precision leaves the best two classes nearly tied, the input is computed again in the weights'
    dtype. Nearly all inputs whose best class half precision would change are among these. The same is done
    where the score is near the threshold of unknown inputs, or, of a model that gives several labels, any
    score near its threshold.

    Args:
        model: In eval mode, with `preprocess` and `labels`. One with `thresholds` gives each input the labels
            whose scores are at least these, in the column `labels`; there may be none.
        topk: Number of classes in the `topk` column; fewer if the model has fewer.
        unknown: An input whose `score` is below this gets the label `unknown` and the index -1; score and
            `topk` stay. In (0, 1]; None: every input gets a class.
        batch_size: As in `Pipeline`.
        limits: As in `Pipeline`.

    Raises:
        VitError: `unknown` is not a probability.
        UsageError: There is an `unknown`, and the model gives several labels.
    """
    if unknown is not None and model.thresholds:
        raise UsageError(
            f"unknown is {unknown}, and the model has a threshold for each label: an input of none has the "
            "labels []; leave unknown out"
        )
    if unknown is not None and not 0 < unknown <= 1:
        raise VitError(f"unknown is {unknown}, expected a probability above 0 and at most 1")

    def postprocess(logits: Tensor) -> Iterator[Row]:
        if not model.thresholds:
            yield from best_classes(logits)
            return
        given = at_least(probabilities(model, logits), model.thresholds)
        for row, chosen in zip(best_classes(logits), given, strict=True):
            yield row | {"labels": [model.labels[index] for index in chosen.nonzero()[:, 0].tolist()]}

    def best_classes(logits: Tensor) -> Iterator[Row]:
        scores, classes = top_classes(probabilities(model, logits), topk)
        for row_scores, row_classes in zip(scores.tolist(), classes.tolist(), strict=True):
            best = [
                # Further digits depend on the order of float32 sums.
                {"label": model.labels[index], "score": round(score, 6)}
                for score, index in zip(row_scores, row_classes, strict=True)
            ]
            is_known = unknown is None or best[0]["score"] >= unknown
            yield {
                "label": best[0]["label"] if is_known else UNKNOWN,
                "index": row_classes[0] if is_known else UNKNOWN_INDEX,
                "score": best[0]["score"],
                "topk": best,
            }

    def uncertain(logits: Tensor) -> Tensor:
        tied = nearly_tied(logits)
        if model.thresholds:
            limits = torch.tensor(model.thresholds, device=logits.device).logit()
            return tied | ((logits - limits).abs() < TIE_MARGIN).any(1)
        return tied if unknown is None else tied | near_threshold(logits, unknown)

    columns = SEVERAL_COLUMNS if model.thresholds else COLUMNS
    return Pipeline(
        model, model, columns, postprocess, batch_size=batch_size, limits=limits, uncertain=uncertain
    )


def require_labels(model: Any, name: str) -> Any:
    """Refuse a model that does not know the names of its classes.

    Raises:
        VitError: With what the model is good for.
    """
    if not model.labels:
        writes = predicts_next(model) or is_encoder_decoder(model)
        gives, verb = ("texts", "generate") if writes else ("features", "embed")
        raise VitError(f"{name} has no names of classes: it gives {gives}, not labels; see vit {verb}")
    return model


def nearly_tied(logits: Tensor) -> Tensor:
    """Logits (B, classes) -> bool (B,): whether the best two differ by less than `TIE_MARGIN`."""
    if logits.shape[1] < 2:
        return torch.zeros(len(logits), dtype=torch.bool)
    best, second = logits.topk(2).values.unbind(1)
    return best - second < TIE_MARGIN


def near_threshold(logits: Tensor, threshold: float) -> Tensor:
    """Logits (B, classes) -> bool (B,): whether half precision may move the score across the threshold.

    Where a difference of logits changes by `TIE_MARGIN`, a probability p changes by p (1 - p) of it at most.
    """
    return (logits.softmax(-1).amax(-1) - threshold).abs() < TIE_MARGIN / 4


def recorded_threshold(scores: Mapping[str, Any], name: str | Path) -> float:
    """The threshold of unknown inputs that `vit evaluate RUN --unknown FOLDER` recorded.

    Args:
        scores: Those of the model's bundle; empty for a model without one.
        name: The model's, for the message.

    Raises:
        VitError: None is recorded.
    """
    threshold = scores.get("unknown", {}).get("threshold")
    if threshold is None:
        raise VitError(
            f"{name} has no recorded threshold for unknown inputs: give a probability, for example 0.5, or "
            f"let vit evaluate {name} --unknown FOLDER find one, which it records in a run folder"
        )
    return float(threshold)


def top_classes(scores: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Probabilities (B, classes) -> those of the best classes, and the classes, (B, k) each, best first."""
    return scores.topk(min(topk, scores.shape[1]))
