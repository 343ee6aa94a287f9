"""From a model and a dataset to figures on corrupted images and on inputs of no class."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.bundle import Bundle, is_bundle, read_description, write_description
from vit.data.loader import loader
from vit.data.randomness import generator
from vit.errors import UsageError, VitError
from vit.evaluation.corruptions.measure import measure_corruptions
from vit.evaluation.corruptions.roster import CORRUPTIONS
from vit.evaluation.examples import Examples
from vit.evaluation.unknown import probability, probability_threshold, separation
from vit.inference.forward import reader_for, run_batch
from vit.inference.rows import LISTINGS
from vit.recipes.evaluation.data import EvaluationData, chosen_splits
from vit.recipes.evaluation.labels import class_order

IMAGES = 500  # for corruptions, where the command does not say
BATCH_SIZE = 100  # images whose corruptions are computed together


def evaluate_corruptions(
    model: Any,
    data: EvaluationData,
    split: str,
    *,
    images: int = IMAGES,
    names: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy on corrupted images, which are drawn from a split with a fixed seed.

    Images are corrupted in the size that the model reads.

    Args:
        model: An image model in eval mode, with `labels`.
        data: From `vit.recipes.evaluation.data`.
        split: As in `evaluate_model`.
        images: How many, at most.
        names: Corruptions of `vit.evaluation.corruptions.roster`.
        seed: Decides which images, and the random numbers of the corruptions.

    Returns:
        `vit.evaluation.corruptions.measure.Robustness.figures`, and `split` and `seed`.

    Raises:
        UsageError: A model that reads texts, or a corruption that does not exist.
        VitError: No such split, or labels that the model does not have.
    """
    if model.reads != "image":
        raise UsageError("corruptions apply to image models only, and this one reads texts")
    parts = chosen_splits(data, split)
    examples = Examples(*parts)
    drawn = torch.randperm(len(examples), generator=generator(seed))[:images].sort().values

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for positions in drawn.split(BATCH_SIZE):
            found = [examples[position] for position in positions.tolist()]
            pixels, targets = (torch.cat([each[column] for each in found]) for column in (0, 1))
            yield pixels, targets, positions

    order = class_order(model.labels, data, parts)
    result = measure_corruptions(
        model, batches(), data.prepare, data.normalise, class_order=order, names=names, seed=seed
    )
    return result.figures() | {"split": split, "seed": seed}


def evaluate_unknown(
    model: Any, data: EvaluationData, split: str, inputs: Sequence[str], *, batch_size: int = 256
) -> dict[str, Any]:
    """How well a model's scores tell the examples of a split from inputs that belong to none of its classes.

    Args:
        model: In eval mode, with `labels` and `preprocess`.
        data: From `vit.recipes.evaluation.data`.
        split: The known examples, as in `evaluate_model`.
        inputs: Files or folders, as `vit predict` takes them; all of them count as unknown.
        batch_size: Inputs per forward pass.

    Returns:
        Plain values: `n_known`, `n_unknown`, `skipped` (files that could not be read: path, reason), `scores`
        (`vit.evaluation.unknown.separation`), `threshold` (for `record_threshold`; None where `data` has no
        validation part), and with it `known_kept` and `unknown_found`, the shares of known examples that keep
        their label and of unknown ones that lose it.

    Raises:
        VitError: No such split, no such input, or no input that can be read.
    """
    known = torch.cat([_logits(model, data, part, batch_size) for part in chosen_splits(data, split)])
    unknown, skipped = _logits_of_files(model, inputs, batch_size)
    if not len(unknown):
        raise VitError(f"{', '.join(inputs)}: no file can be read of {len(skipped)}, expected at least one")
    figures: dict[str, Any] = {
        "split": split,
        "n_known": len(known),
        "n_unknown": len(unknown),
        "skipped": skipped,
        "scores": separation(known, unknown),
        "threshold": None,
    }
    validation = data.parts.get("val")
    if validation is not None and len(validation):
        chosen = probability_threshold(_logits(model, data, validation, batch_size))
        figures |= {
            "threshold": chosen,
            "known_kept": _share(probability(known) >= chosen["threshold"]),
            "unknown_found": _share(probability(unknown) < chosen["threshold"]),
        }
    return figures


def record_threshold(word: str, threshold: dict[str, Any]) -> Path | None:
    """Write the threshold of unknown inputs into the bundle of a run folder, or into a bundle folder.

    `vit predict MODEL INPUT --unknown auto` reads it.

    Args:
        word: The MODEL word.
        threshold: That of `evaluate_unknown`.

    Returns:
        The folder of the bundle; None where the word is none of the two, for example a shipped model's name.
    """
    for folder in (Path(word) / "model", Path(word)):
        if is_bundle(folder):
            description = read_description(folder)
            description["scores"] |= {"unknown": threshold}
            write_description(folder, Bundle(weights={}, **description))
            return folder
    return None


@torch.inference_mode()
def _logits(model: Any, data: EvaluationData, part: Any, batch_size: int) -> Tensor:
    """The logits of a part's examples, float32 (n, classes), on the CPU."""
    device = next(model.parameters()).device
    batches = loader(part, batch_size)
    return torch.cat(
        [model(data.normalise(data.prepare(inputs).to(device))).float().cpu() for inputs, *_ in batches]
    )


@torch.inference_mode()
def _logits_of_files(
    model: Any, inputs: Sequence[str], batch_size: int
) -> tuple[Tensor, list[tuple[str, str]]]:
    """The logits of the files that can be read, float32 (n, classes), and path and reason of the others."""
    listed: Iterable[Any] = LISTINGS[model.reads](list(inputs))
    logits = [torch.empty(0, len(model.labels))]
    skipped: list[tuple[str, str]] = []
    with reader_for(model, batch_size) as reader:
        for batch in reader.batches(listed):
            skipped += [(item.name, item.error) for item in batch if item.status != "ok"]
            read = [item for item in batch if item.status == "ok"]
            if read:
                logits.append(run_batch(model, model, read, batch_size).float())
    return torch.cat(logits), skipped


def _share(which: Tensor) -> float:
    """Of the entries that are true."""
    return float(which.double().mean())
