"""What the importer must know of a family of transformers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from vit.weights.huggingface.names import our_name

Task = Literal["encoder", "pretraining", "classifier", "language"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family.

    Args:
        prefix: Of the names of its classes: `Bert`.
        reads: `image` or `text`.
        tasks: By the ending of a class (`Model`, `ForSequenceClassification`), what it is for: `encoder`,
            without a head; `pretraining`, with a head that is left out; `classifier`; `language`, with a head
            that gives the next token.
        build: (`model_type`, config, tensors under our names, changes) -> the tower without its weights. The
            tensors may be changed to fit it; `changes` are arguments of the text tower that a config does not
            say.
        name: Their name of a tensor, of any version of the library, without the prefix of the base model ->
            ours; None for what is not needed.
        pooler: Beginnings of the names, without the prefix of the base model, that the base model reads and a
            classifier does not.
        head: What a classifier must have, under our names.
        heads: Beginnings of the names that only a head reads.
    """

    prefix: str
    reads: Literal["image", "text"]
    tasks: Mapping[str, Task]
    build: Callable[[str, dict[str, Any], dict[str, Tensor], Mapping[str, Any]], Any]
    name: Callable[[str], str | None] = our_name
    pooler: tuple[str, ...] = ("pooler.dense.",)
    head: tuple[str, ...] = ("head.weight",)
    heads: tuple[str, ...] = field(default=("classifier.", "pre_classifier."))
