"""A run that is not finished as a bundle: its description, and the weights of its best checkpoint.

    runs/NAME/model/config.json, for texts model/tokenizer.json     written when the run begins
    runs/NAME/checkpoints/best.ckpt                                 after the best epoch so far
    runs/NAME/checkpoints/frozen.safetensors                        with `model.freeze`: all but the head

`model/model.safetensors` is written when the run is finished.
"""

from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vit.atomic import write_text
from vit.bundle import (
    CONFIG,
    TOKENIZER,
    Bundle,
    current_names,
    is_bundle,
    read_description,
    write_description,
)
from vit.errors import VitError
from vit.weights.messages import say_once

BEST = Path("checkpoints", "best.ckpt")
FROZEN = "frozen.safetensors"  # beside the checkpoints, which hold the weights that are trained
MODULE = "model."  # where the Lightning module holds the model


def write_outline(folder: Path, bundle: Bundle) -> None:
    """Write the files of a bundle but the weights, unless the folder holds a whole bundle already.

    Args:
        folder: `model/` of the run.
        bundle: Its weights are not looked at.
    """
    if is_bundle(folder):  # of a finished run that is continued
        return
    folder.mkdir(parents=True, exist_ok=True)
    if bundle.tokenizer is not None:
        write_text(folder / TOKENIZER, bundle.tokenizer)
    write_description(folder, bundle)


def read_outline(folder: Path) -> Bundle:
    """What `write_outline` wrote, or a whole bundle but for its weights.

    Raises:
        VitError: A file is broken.
    """
    tokenizer = folder / TOKENIZER
    text = tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else None
    return Bundle(weights={}, tokenizer=text, **read_description(folder))


def is_unfinished(run: Path) -> bool:
    """Whether the folder is a run that has a best checkpoint and no finished model."""
    model = run / "model"
    return (run / BEST).is_file() and (model / CONFIG).is_file() and not is_bundle(model)


def read_unfinished(run: Path) -> Bundle:
    """The best model of an unfinished run so far; says on stderr which epoch it is of.

    Raises:
        VitError: A file is broken.
    """
    outline = read_outline(run / "model")
    checkpoint = _load(run / BEST)
    say_once(f"{run} is not finished: this is its best checkpoint so far, of epoch {checkpoint['epoch'] + 1}")
    frozen = run / BEST.parent / FROZEN
    body = frozen_weights(frozen) if frozen.is_file() else {}
    return replace(outline, weights=body | checkpoint_weights(checkpoint))


def frozen_weights(file: Path) -> dict[str, Tensor]:
    """The weights that a run does not train.

    Raises:
        VitError: The file is missing or damaged.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise VitError(f"{file} cannot be read ({error}): it holds the frozen weights of the run") from None


def checkpoint_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights in a checkpoint of a run; with EMA, the averaged ones; with `model.freeze` the head alone.

    Args:
        checkpoint: As Lightning stores it, of this or an earlier version.
    """
    state = checkpoint["state_dict"]
    weights = current_names(
        {name.removeprefix(MODULE): tensor for name, tensor in state.items() if name.startswith(MODULE)}
    )
    return _head_of_features(weights) if "std" in weights else weights


def _head_of_features(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The head that gives for features what the one trained alone gives for (features - mean) / std."""
    weight = weights["head.weight"] / weights["std"]
    return {"head.weight": weight, "head.bias": weights["head.bias"] - weight @ weights["mean"]}


def _load(file: Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only.

    Raises:
        VitError: It is damaged, holds other objects, or is not a checkpoint of a run.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise VitError(f"{file} is damaged, or holds more than tensors and plain values: {reason}") from None
    if not isinstance(checkpoint, dict) or not {"state_dict", "epoch"} <= checkpoint.keys():
        raise VitError(f"{file} is not a checkpoint of a run: it has no weights and epoch")
    return checkpoint
