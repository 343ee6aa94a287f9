"""Real inputs for a file on its way out: a split of a dataset, and the pictures that it is made of."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vit.data.decode import DecodeError, open_image
from vit.data.loader import loader
from vit.export.verify import Real
from vit.inputs.files import list_files
from vit.recipes.evaluation.data import EvaluationData, chosen_splits
from vit.recipes.evaluation.labels import class_order, require_same_kind

AT_ONCE = 64


def real_inputs(model: Any, data: EvaluationData, split: str) -> Real:
    """The examples of a split, as the model takes them, with the model's classes.

    Args:
        model: With `labels`.
        data: From `evaluation_data`.
        split: As in `vit.recipes.evaluation.model.evaluate_model`.

    Raises:
        VitError: No such split, or labels that the model does not have.
    """
    parts = chosen_splits(data, split)
    require_same_kind(model, data, parts)
    order = class_order(model.labels, data, parts)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in _batches(parts):
            truth = order[targets] if targets.ndim == 1 else _in_order(targets, order)
            yield data.normalise(data.prepare(inputs)), truth

    return Real(data.name, batches)


def real_pictures(data: EvaluationData, split: str, path: str, most: int) -> Iterator[np.ndarray]:
    """Upright pictures, uint8 (height, width, 3): the files at a path, else what was read of a dataset.

    Args:
        data: From `evaluation_data`.
        split: Of it, where `path` is no folder of pictures.
        path: What `--data` names.
        most: Number of pictures.
    """
    found = islice(_files(path), most)
    first = next(found, None)
    if first is not None:
        yield first
        yield from found
        return
    pixels = (image for inputs, _ in _batches(chosen_splits(data, split)) for image in inputs)
    for image in islice(pixels, most):
        yield image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def _batches(parts: list[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    for part in parts:
        for inputs, targets, _ in loader(part, AT_ONCE):
            yield inputs, targets


def _in_order(targets: Tensor, columns: Tensor) -> Tensor:
    """Targets (B, classes of the data) in the order of the model's labels; 0 for one that the data lack."""
    return torch.cat([targets, targets.new_zeros(len(targets), 1)], 1)[:, columns]


def _files(path: str) -> Iterator[np.ndarray]:
    """The pictures among the files at a path; none where there is no such path."""
    for entry in list_files([path]) if Path(path).exists() else ():
        try:
            if entry.member is None:
                yield np.array(open_image(entry.path).convert("RGB"))  # a copy: torch wants to write
        except (DecodeError, OSError):
            continue
