"""From a model and the options of `vit evaluate` to the figures: one way for the command and the function."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from vit.device import memory_advice
from vit.errors import UsageError
from vit.evaluation.results import check_folder, write_evaluation
from vit.inference.pipelines import shared_copy
from vit.inference.predict import require_labels
from vit.recipes.evaluation.data import EvaluationData, evaluation_data
from vit.recipes.evaluation.language import evaluate_texts
from vit.recipes.evaluation.model import evaluate_maps, evaluate_model
from vit.recipes.evaluation.options import (
    FOR_CLASSES,
    FOR_IMAGES,
    FOR_ONE_LABEL,
    PICTURES,
    REPEATS,
    STEPS,
    EvaluationOptions,
)
from vit.text.matching import predicts_next
from vit.weights.models import is_bundled, open_bundle


class Outcome(NamedTuple):
    """What was measured.

    Args:
        figures: The object that `vit evaluate --json` prints.
        data: What it was measured on.
    """

    figures: dict[str, Any]
    data: EvaluationData


def measure(model: Any, word: str | None, options: EvaluationOptions) -> Outcome | None:
    """Measure a model, and write the folder of `options.output`.

    Args:
        model: In eval mode, on its device. It is not changed.
        word: The MODEL word that it was loaded from: it says what the model was trained on. None: not known.
        options: They have been checked.

    Returns:
        The figures; None in the processes of torchrun other than the first.

    Raises:
        VitError: There are no such data, or the model and they do not fit each other.
        UsageError: An option that does not apply to the model.
    """
    if options.output is not None:
        check_folder(Path(options.output), overwrite=options.overwrite)
    with memory_advice(options.batch_size):
        if options.probe is None and predicts_next(model):
            return _language(model, word, options)
        model = _prepared(model, word, options)
        data = evaluation_data(
            model, word, options.data, input_column=options.column, label_column=options.label_column
        )
        if options.probe is not None:
            return _probe(model, word, data, options)
        return _classes(model, word, data, options)


def _prepared(model: Any, word: str | None, options: EvaluationOptions) -> Any:
    """The model as it is measured.

    Raises:
        VitError: It has no labels.
        UsageError: An option does not apply to it.
    """
    if options.image_size is not None:
        model = shared_copy(model, preprocess=_other_size(model, options.image_size))
    if options.probe is None:
        require_labels(model, word or "the model")
    if model.reads == "text" and (given := options.given(FOR_IMAGES)):
        raise UsageError(f"--{given[0]} applies to image models only: leave it out")
    if model.thresholds and (given := options.given(FOR_ONE_LABEL)):
        raise UsageError(f"--{given[0]} applies to models of one label only: leave it out")
    return model


def _classes(
    model: Any, word: str | None, data: EvaluationData, options: EvaluationOptions
) -> Outcome | None:
    """The figures of a model's own head."""
    measured = evaluate_model(
        model,
        data,
        options.split,
        batch_size=options.batch_size,
        flip=options.flip,
        temperature=None if options.flip else _temperature(word),
    )
    if measured is None:  # the first process has them
        return None
    figures = measured.figures | _what(word, data, options)
    if options.attribution:
        figures["attribution"] = evaluate_maps(
            model,
            data,
            options.split,
            options.chosen_methods,
            images=options.pictures or PICTURES,
            steps=options.steps or STEPS,
        )
    if options.corruptions:
        from vit.recipes.evaluation.robustness import IMAGES, evaluate_corruptions

        images = options.pictures or IMAGES
        figures["corruptions"] = evaluate_corruptions(model, data, options.split, images=images)
    if options.unknown:
        figures["unknown"] = _unknown(model, word, data, options)
    return _outcome(figures, data, options, measured, model.labels)


def _language(model: Any, word: str | None, options: EvaluationOptions) -> Outcome | None:
    """The figures of a language model."""
    if given := options.given(FOR_CLASSES):
        raise UsageError(
            f"--{given[0]} applies to models with classes, not to a language model: leave it out"
        )
    data = evaluation_data(model, word, options.data, labelled=False, input_column=options.column)
    measured = evaluate_texts(model, data, options.split, batch_size=options.batch_size)
    if measured is None:  # the first process has them
        return None
    return _outcome(measured.figures | _what(word, data, options), data, options, measured, [])


def _probe(model: Any, word: str | None, data: EvaluationData, options: EvaluationOptions) -> Outcome:
    """The figures of a simple classifier on the features of the model."""
    from vit.recipes.evaluation.probe import probe_model

    assert options.probe is not None
    figures = probe_model(
        model,
        data,
        options.probe,
        per_class=options.per_class,
        repeats=1 if options.per_class is None else options.repeats or REPEATS,
        batch_size=options.batch_size,
    )
    figures |= _what(word, data, options)
    if data.notes:
        figures["notes"] = data.notes
    return Outcome(_plain(figures), data)


def _outcome(
    figures: dict[str, Any],
    data: EvaluationData,
    options: EvaluationOptions,
    measured: Any,
    labels: list[str],
) -> Outcome:
    """Write the folder, if one is asked for."""
    figures = _plain(figures)
    if options.output is not None:
        write_evaluation(
            Path(options.output),
            labels=labels,
            examples=measured.examples,
            result=measured.result,
            figures=figures,
        )
    return Outcome(figures, data)


def _what(word: str | None, data: EvaluationData, options: EvaluationOptions) -> dict[str, Any]:
    return {"data": options.data or data.name, "model": word or "the model"}


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures as JSON has them: lists for tuples, strings for the keys of objects."""
    plain: dict[str, Any] = json.loads(json.dumps(figures))
    return plain


def _other_size(model: Any, side: int) -> Any:
    """The preprocessing of an image model for another size; its positions are interpolated."""
    if model.reads != "image":
        raise UsageError("--image-size applies to image models only: leave it out")
    if side < 1 or any(side % patch for patch in model.patch_size):
        patches = " x ".join(map(str, model.patch_size))
        raise UsageError(f"--image-size is {side}, expected a multiple of the patches, {patches} pixels")
    return replace(model.preprocess, height=side, width=side)


def _unknown(
    model: Any, word: str | None, data: EvaluationData, options: EvaluationOptions
) -> dict[str, Any]:
    """The figures of unknown inputs; a run that was measured on its own data gets the threshold."""
    from vit.recipes.evaluation.robustness import evaluate_unknown, record_threshold

    assert options.unknown is not None
    figures = evaluate_unknown(model, data, options.split, [options.unknown])
    if options.data is None and word is not None and figures["threshold"]:
        recorded = record_threshold(word, figures["threshold"])
        figures["recorded"] = None if recorded is None else str(recorded)
    return figures


def _temperature(word: str | None) -> float | None:
    """The temperature that suited the validation split of a model's run; None where none is recorded."""
    if word is None or not is_bundled(word):
        return None
    temperature: float | None = open_bundle(word).scores.get("val", {}).get("temperature")
    return temperature
