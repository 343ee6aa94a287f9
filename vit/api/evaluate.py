"""`vit.evaluate`: the object that `vit evaluate --json` prints."""

import os
from collections.abc import Sequence
from typing import Any

from vit.api.models import open_model, word_of
from vit.recipes.evaluation.options import EvaluationOptions


def evaluate(
    model: Any,
    data: str | os.PathLike[str] | None = None,
    split: str = "test",
    *,
    column: str | None = None,
    label_column: str | None = None,
    flip: bool = False,
    corruptions: bool = False,
    unknown: str | os.PathLike[str] | None = None,
    probe: str | None = None,
    per_class: int | None = None,
    repeats: int | None = None,
    image_size: int | None = None,
    attribution: bool = False,
    methods: Sequence[str] | None = None,
    pictures: int | None = None,
    steps: int | None = None,
    batch_size: int = 256,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure a model on a dataset: what `vit evaluate` does, and the figures that it prints with `--json`.

        figures = vit.evaluate("runs/digits", "my_test")
        figures["accuracy"], figures["interval"], figures["classes"]["cat"]["recall"]

    Messages of errors name the options of the command: `--per-class` is `per_class` here.

    Args:
        model: A MODEL word; or a loaded model of vit in eval mode. What a model from `vit.load_model`, or of
            a run of `vit.train`, was trained on is known, and is not counted as test.
        data: A dataset's name, or the path of class folders or of a table. None: what the model was trained
            on.
        split: `train`, `val`, `test`, `all`, or `new`: what the run has not seen.
        column: Of a table: the column with the texts or the paths. None: a usual name.
        label_column: Of a table: the column with the labels. None: a usual name.
        flip: Average the probabilities of each image and its mirror image.
        corruptions: Measure corrupted images, too: `figures["corruptions"]`.
        unknown: A folder of inputs that belong to no class; how well they are told apart is
            `figures["unknown"]`. A run that is measured on its own data gets the threshold, which
            `vit.predict(..., unknown="auto")` reads.
        probe: `linear` or `knn`: learn the classes of the data from the features, and measure that.
        per_class: Of `probe`: examples of each class to learn from. None: all.
        repeats: Of `per_class`: how often they are drawn. None: 5.
        image_size: Pixels of one side. None: the model's own.
        attribution: Measure the faithfulness of maps, too: `figures["attribution"]`.
        methods: Of `attribution`: their names. None: the quick ones.
        pictures: How many are drawn for `attribution` (None: 200) and `corruptions` (None: 500).
        steps: Of `attribution`: parts in which patches are removed. None: 16.
        batch_size: Most examples of a forward pass.
        output: A folder for report, tables and plots. None: nothing is written.
        overwrite: Write into an `output` that is not empty.

    Returns:
        Plain values, as JSON has them: `accuracy`, `accuracy_top5`, `balanced_accuracy`, `f1_macro`, `loss`,
        `interval` (95 %, of the accuracy), `n`, `classes` (`{label: {precision, recall, f1, n}}`),
        `confusion` (rows truth, columns prediction, in the order of `labels`), `split`, `data`, `model`, and
        more; with several labels `map`, `f1_micro` and `f1_macro`; of a language model `perplexity`. Under
        torchrun it is empty in all processes but the first.

    Raises:
        vit.VitError: There is no such model, dataset or split, the labels do not fit, or an option is out of
            range or does not apply.
    """
    options = EvaluationOptions(
        data=None if data is None else os.fspath(data),
        split=split,
        column=column,
        label_column=label_column,
        flip=flip,
        corruptions=corruptions,
        unknown=None if unknown is None else os.fspath(unknown),
        probe=probe,
        per_class=per_class,
        repeats=repeats,
        image_size=image_size,
        attribution=attribution,
        methods=methods,
        pictures=pictures,
        steps=steps,
        batch_size=batch_size,
        output=None if output is None else os.fspath(output),
        overwrite=overwrite,
    )
    options.check()
    from vit.inference.pipelines import require_ready
    from vit.recipes.evaluation.measure import measure

    model, name = open_model(model, None, "32-true")
    require_ready(model, name)
    outcome = measure(model, word_of(model), options)
    return {} if outcome is None else outcome.figures
