"""From a model to the pipeline of `vit predict` or `vit embed`, for the commands and for Python."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from vit.config import Precision
from vit.core import attention_slots
from vit.device import best_device
from vit.errors import UsageError, VitError
from vit.inference.embed import embedder
from vit.inference.kept import KeptColumns
from vit.inference.predict import labeller, recorded_threshold, require_labels
from vit.inference.rows import Pipeline
from vit.inputs.decoding import Limits
from vit.weights.models import is_bundled, load_model, open_bundle


def load_pipeline(
    verb: str, word: str, precision: Precision, fast_jpeg: bool = False, **options: Any
) -> Pipeline | KeptColumns:
    """A verb's pipeline with the model of a MODEL word, on the best device; the processes of a cluster call
    it too.

    Args:
        verb: `predict` or `embed`.
        word: The MODEL word.
        precision: As in `load_model`.
        fast_jpeg: As in `make_pipeline`.
        options: The others of `make_pipeline`.
    """
    model = load_model(word, precision=precision).to(best_device())
    return make_pipeline(verb, model, word, fast_jpeg=fast_jpeg, **options)


def make_pipeline(
    verb: str,
    model: Any,
    name: str,
    *,
    batch_size: int,
    limits: Limits,
    keep: Sequence[str] = (),
    fast_jpeg: bool = False,
    **options: Any,
) -> Pipeline | KeptColumns:
    """A verb's pipeline.

    Args:
        verb: `predict` or `embed`.
        model: In eval mode; it stays on its device.
        name: The model's, for messages.
        batch_size: As in `Pipeline`.
        limits: As in `Pipeline`.
        keep: Columns of tables of texts that are copied into the rows.
        fast_jpeg: Decode large JPEGs at a reduced scale (`vit.data.preprocess.Preprocess`).
        options: Those of `labeller`, for `predict`.

    Raises:
        VitError: The model is in train mode, has no `preprocess`, or for `predict` no labels.
        UsageError: An option does not apply to the model.
    """
    require_ready(model, name)
    if keep and model.reads != "text":
        raise UsageError(f"--keep needs a text model, and {name} reads pictures")
    if fast_jpeg:
        if model.reads != "image":
            raise UsageError(f"--fast-jpeg applies to image models only, and {name} reads texts")
        model = shared_copy(model, preprocess=replace(model.preprocess, fast_jpeg=True))
    if verb == "embed":
        pipeline = embedder(model, batch_size=batch_size, limits=limits)
    else:
        pipeline = labeller(require_labels(model, name), batch_size=batch_size, limits=limits, **options)
    return KeptColumns(pipeline, keep) if keep else pipeline


def shared_copy(model: Any, **attributes: Any) -> Any:
    """A copy of a model that shares its weights and has other attributes; the model stays as it is."""
    other = copy(model)
    for name, value in attributes.items():
        setattr(other, name, value)
    return other


def stored_threshold(word: str) -> float:
    """The threshold of unknown inputs that is recorded in the bundle of a MODEL word.

    Raises:
        VitError: None is recorded.
    """
    return recorded_threshold(open_bundle(word).scores if is_bundled(word) else {}, word)


def require_ready(model: Any, name: str) -> None:
    """Refuse a model that could not give the rows of the command.

    Raises:
        VitError: With the line that mends it.
    """
    try:
        attention_slots(model)
    except (AttributeError, TypeError):
        raise VitError(
            f"the model is a {type(model).__name__}, expected a MODEL word or a model of vit: convert one of "
            "timm with vit.from_timm(model), one of transformers with vit.from_huggingface(model)"
        ) from None
    if model.training:
        raise VitError(f"{name} is in train mode, in which dropout is on: call model.eval() first")
    if model.preprocess is None:
        way = "vit.text.Tokenizer" if model.reads == "text" else "vit.data.preprocess.Preprocess"
        raise VitError(f"model.preprocess is None, so how {name} reads its inputs is not known: set a {way}")
