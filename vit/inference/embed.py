"""Embeddings: the features of each input."""

from collections.abc import Iterator
from copy import copy
from typing import Any

from torch import Tensor, nn

from vit.inference.rows import BASE_COLUMNS, Pipeline
from vit.inputs.decoding import DEFAULT_LIMITS, Limits
from vit.jobs.table import Columns, Row

COLUMNS: Columns = BASE_COLUMNS | {"vector": list[float]}


def embedder(model: Any, *, batch_size: int = 64, limits: Limits = DEFAULT_LIMITS) -> Pipeline:
    """The pipeline of `vit embed`: what the head reads, or would read if the model had one.

    The column `vector` is a list of float32 in Parquet and JSONL, and JSON in CSV; it is empty unless the
    status is `ok`.

    Args:
        model: In eval mode, with `preprocess`.
        batch_size: As in `Pipeline`.
        limits: As in `Pipeline`.
    """
    headless = _without_head(model)

    def postprocess(vectors: Tensor) -> Iterator[Row]:
        # Nine digits tell apart any two float32.
        return ({"vector": [float(f"{x:.9g}") for x in vector]} for vector in vectors.tolist())

    return Pipeline(headless, headless.features, COLUMNS, postprocess, batch_size=batch_size, limits=limits)


def _without_head(model: Any) -> Any:
    """A copy that shares all weights but the head, on which vectors and so the fingerprint do not depend."""
    headless = copy(model)
    headless._modules = model._modules | {"head": nn.Identity()}
    return headless
