"""From a model, a dataset and a split to figures: accuracy, loss, calibration, faithfulness of maps."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.data.images import Batch
from vit.data.loader import loader
from vit.errors import VitError
from vit.evaluation.examples import Examples
from vit.evaluation.faithfulness import measure
from vit.evaluation.metrics import Evaluation, evaluate
from vit.evaluation.several.metrics import MultilabelEvaluation, evaluate_several
from vit.jobs.ranks import Ranks, distributed_ranks
from vit.recipes.evaluation.data import EvaluationData, chosen_splits
from vit.recipes.evaluation.labels import class_order, require_same_kind

MAPS_AT_ONCE = 32  # images whose maps are computed together


class Measured(NamedTuple):
    """A model's predictions on a split, and their figures.

    Args:
        figures: Plain values, as `vit evaluate --json` prints them.
        result: The predictions.
        examples: What was measured, in the order of `result`.
    """

    figures: dict[str, Any]
    result: Evaluation | MultilabelEvaluation
    examples: Examples


def evaluate_model(
    model: Any,
    data: EvaluationData,
    split: str,
    *,
    batch_size: int = 256,
    flip: bool = False,
    temperature: float | None = None,
) -> Measured | None:
    """Measure a model on a split; the processes of torchrun share its examples.

    Args:
        model: In eval mode, with `labels`.
        data: From `evaluation_data`.
        split: `train`, `val`, `test` or `all`.
        batch_size: Examples per forward pass.
        flip: Average the probabilities of each image and its mirror image.
        temperature: Compute the calibration error with this temperature, too; None: without one.

    Returns:
        Predictions and figures; None in all processes but the first.

    Raises:
        VitError: No such split, labels that the model does not have, or too few examples.
    """
    parts = chosen_splits(data, split)
    require_same_kind(model, data, parts)
    order = class_order(model.labels, data, parts)
    with distributed_ranks() as ranks:
        _require_enough(parts, ranks.world_size)
        batches = _batches(data, parts, batch_size, ranks)
        options: dict[str, Any] = {"flip": flip, "together": ranks.world_size > 1}
        if model.thresholds:
            options |= {"thresholds": model.thresholds, "columns": order}
            result: Any = evaluate_several(model, batches, data.normalise, **options)
        else:
            options |= {"class_order": order, "temperature": temperature}
            result = evaluate(model, batches, data.normalise, len(model.labels), **options)
    if ranks.rank > 0:
        return None
    figures = result.figures() | result.details(model.labels)
    figures |= {"split": split, "flip": flip, "skipped": len(data.skipped)}
    if data.notes:
        figures["notes"] = data.notes
    return Measured(figures, result, Examples(*parts))


def _batches(data: EvaluationData, parts: list[Any], batch_size: int, ranks: Ranks) -> Iterator[Batch]:
    """The batches of this process from one part after the other; their indices count through all parts."""
    start = 0
    for part in parts:
        for inputs, targets, indices in loader(part, batch_size, rank=ranks.rank, world=ranks.world_size):
            yield data.prepare(inputs), targets, indices + start
        start += len(part)


def evaluate_maps(
    model: Any, data: EvaluationData, split: str, methods: Sequence[str], *, images: int, steps: int
) -> list[dict[str, Any]]:
    """How faithful the maps of attribution methods are, on images drawn with a fixed seed.

    Args:
        model: An image model in eval mode, with `labels`.
        data: From `evaluation_data`.
        split: As in `evaluate_model`.
        methods: Their names.
        images: How many, at most.
        steps: Number of steps in which the patches of an image are removed.

    Returns:
        `vit.evaluation.faithfulness.Faithfulness.rows`.
    """
    examples = Examples(*chosen_splits(data, split))
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:images]
    device = next(model.parameters()).device

    def batches() -> Iterator[Tensor]:
        for indices in order.split(MAPS_AT_ONCE):
            pixels = [examples[index][0] for index in indices.tolist()]
            yield data.normalise(data.prepare(torch.cat(pixels)).to(device))

    return measure(model, batches(), {method: {} for method in methods}, steps=steps)


def _require_enough(parts: list[Any], processes: int) -> None:
    """Refuse more processes than examples: a process without one has no figures to add."""
    most = max(map(len, parts))
    if 0 < most < processes:
        raise VitError(f"the split has {most} pictures for {processes} processes: begin fewer of them")
