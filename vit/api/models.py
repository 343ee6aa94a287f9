"""The MODEL of a function: a word, or a model that is loaded already."""

import os
from typing import Any

from vit.config import Precision
from vit.errors import UsageError


def open_model(model: Any, precision: Precision | None, usual: Precision) -> tuple[Any, str]:
    """A model, and its name for messages and figures.

    Args:
        model: A MODEL word, whose model goes to the best device; or a loaded model, which stays on its own.
        precision: As in `vit.load_model`, for a word alone.
        usual: Where `precision` is None.

    Raises:
        VitError: There is no such model.
        UsageError: There is a precision, and the model is loaded already.
    """
    if isinstance(model, (str, os.PathLike)):
        from vit.device import best_device
        from vit.weights.models import load_model

        word = os.fspath(model)
        return load_model(word, precision=precision or usual).to(best_device()), word
    if precision is not None:
        raise UsageError(
            f"precision is {precision}, and the model is loaded already: give it to vit.load_model"
        )
    return model, word_of(model) or "the model"


def word_of(model: Any) -> str | None:
    """The MODEL word that a model was loaded from; None: it was not loaded from one."""
    word = getattr(model, "source", {}).get("word")
    return None if word is None else str(word)
