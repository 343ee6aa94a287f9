"""From a language model, texts and a split to figures."""

from typing import Any, NamedTuple

from vit.evaluation.examples import Examples
from vit.evaluation.language import LanguageEvaluation, evaluate_language
from vit.jobs.ranks import distributed_ranks
from vit.recipes.evaluation.data import EvaluationData, chosen_splits


class MeasuredTexts(NamedTuple):
    """What a language model gives a split.

    Args:
        figures: Plain values, as `vit evaluate --json` prints them.
        result: Those of each text.
        examples: What was measured, in the order of `result`.
    """

    figures: dict[str, Any]
    result: LanguageEvaluation
    examples: Examples


def evaluate_texts(
    model: Any, data: EvaluationData, split: str, *, batch_size: int = 256
) -> MeasuredTexts | None:
    """Measure a language model on a split; the processes of torchrun share its texts.

    Args:
        model: In eval mode.
        data: From `evaluation_data`, not labelled.
        split: `train`, `val`, `test`, `new` or `all`.
        batch_size: Most windows of a forward pass.

    Returns:
        Figures; None in all processes but the first.

    Raises:
        VitError: No such split.
    """
    parts = chosen_splits(data, split)
    with distributed_ranks() as ranks:
        result = evaluate_language(model, parts, batch_size=batch_size, ranks=ranks)
    if ranks.rank > 0:
        return None
    figures = result.figures() | {"split": split, "skipped": len(data.skipped)}
    if data.notes:
        figures["notes"] = data.notes
    return MeasuredTexts(figures, result, Examples(*parts))
