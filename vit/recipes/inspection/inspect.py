"""A dataset, described before anything is trained: counts, sizes, duplicates, and what training says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vit.config import DataConfig
from vit.data import datasets
from vit.data.found import Found
from vit.data.roster import find_dataset
from vit.data.texts import RawTexts
from vit.errors import VitError
from vit.recipes.data import read_options
from vit.recipes.inspection.duplicates import pixel_digests
from vit.recipes.inspection.findings import findings
from vit.recipes.inspection.picture_sizes import crop_losses, picture_size
from vit.recipes.inspection.repeats import Example, exact_repeats, near_repeats


@dataclass
class Inspection:
    """A dataset, described.

    Args:
        facts: What `vit data --json` prints, without the name of the data.
        examples: All that could be read.
        found: What the reader returned.
    """

    facts: dict[str, Any]
    examples: list[Example]
    found: Found[Any]


def inspect_data(config: DataConfig) -> Inspection:
    """Read a dataset, and describe it, whether or not a model could be trained on it.

    Args:
        config: `name` and `root`; how it is read (`image_size`, `input_column`, ...) and divided
            (`val_fraction`, `group`, ...).

    Raises:
        VitError: The name is unknown, or the data are missing, or nothing can be read.
    """
    division = datasets.Division(config.val_fraction, config.test_fraction, config.split_seed, config.group)
    size = datasets.image_size_of(config.image_size)
    found: Found[Any] = datasets.read(
        config.name, config.root, replace(read_options(config, None), size=size)
    )
    splits, refusal = _divided(config.name, found, division)
    examples = _examples(found, splits, config.root)
    parts = found.parts if splits is None else splits
    facts: dict[str, Any] = {
        "kind": find_dataset(config.name).kind,
        "n": len(examples),
        "labels": found.labels,
        **_form(found),
        "parts": {part: len(members) for part, members in found.parts.items()},
        "counts": {part: _counts(members.targets, len(found.labels)) for part, members in parts.items()},
        "part_sizes": {part: len(members) for part, members in parts.items()},
        "refusal": refusal,
        "balance": _balance(found),
        "sizes": _sizes(examples),
        "crop": None if config.resize in ("pad", "squash") else _crop(examples, _first_part(found)),
        "duplicates": {
            "exact": exact_repeats(examples, left_out=find_dataset(config.name).is_format),
            "near": near_repeats(examples, found, grouped=config.group is not None),
        },
        "skipped": [{"path": name, "error": reason} for name, reason in found.skipped],
        "notes": found.notes,
    }
    facts["findings"] = findings(facts)
    return Inspection(facts, examples, found)


def _first_part(found: Found[Any]) -> Any:
    return next(iter(found.parts.values()))


def _divided(
    name: str, found: Found[Any], division: datasets.Division
) -> tuple[dict[str, Any] | None, str | None]:
    """The parts for training, None where there are none, and why training refuses the data."""
    try:
        splits = datasets.divide(name, found, division)
    except VitError as error:
        return None, str(error)
    try:
        datasets.require_trainable(splits)
    except VitError as error:
        return splits.as_dict(), str(error)
    return splits.as_dict(), None


def _examples(found: Found[Any], splits: dict[str, Any] | None, root: str | None) -> list[Example]:
    new_parts = {name: part for part, members in (splits or {}).items() for name in members.names}
    base = None if root is None or not found.named_by_path else Path(root).expanduser()
    if base is not None and base.is_file():
        base = base.parent
    examples = []
    for own, members in found.parts.items():
        digests = members.digests or pixel_digests(members)
        labels = _label_names(members.targets.tolist(), found.labels)
        for name, label, digest in zip(members.names, labels, digests, strict=True):
            part = own if splits is None else new_parts.get(name, "")
            path = None if base is None else base / name
            examples.append(Example(name, label, own, part, digest, path, path and picture_size(path)))
    return examples


def _label_names(targets: Sequence[Any], labels: Sequence[str]) -> list[str]:
    return [
        labels[target]
        if isinstance(target, int)
        else "|".join(label for label, has in zip(labels, target, strict=True) if has == 1)
        for target in targets
    ]


def _form(found: Found[Any]) -> dict[str, Any]:
    """What is read: the size of every picture, or the lengths of the texts."""
    examples = next(iter(found.parts.values()))
    if not isinstance(examples, RawTexts):
        return {"image_size": list(examples.size), "channels": examples.channels}
    lengths = sorted(len(text) for members in found.parts.values() for text in members.texts)
    return {
        "characters": median(lengths),
        "lengths": {"median": median(lengths), "smallest": lengths[0], "largest": lengths[-1]},
    }


def _counts(targets: Any, classes: int) -> list[int]:
    """Examples of each class; with several labels, those that have each label."""
    if targets.ndim == 2:
        return (targets == 1).sum(0).int().tolist()
    return targets.bincount(minlength=classes).tolist()


def _balance(found: Found[Any]) -> dict[str, Any]:
    """Of all parts: the largest and the smallest class, and what the most frequent answer reaches."""
    each = [_counts(members.targets, len(found.labels)) for members in found.parts.values()]
    counts = [sum(column) for column in zip(*each, strict=True)]
    if not counts:
        return dict.fromkeys(("largest", "smallest", "ratio", "majority_accuracy"))
    largest, smallest = max(counts), min(counts)
    several = any(members.targets.ndim == 2 for members in found.parts.values())
    return {
        "largest": {"label": found.labels[counts.index(largest)], "n": largest},
        "smallest": {"label": found.labels[counts.index(smallest)], "n": smallest},
        "ratio": largest / smallest if smallest else None,
        "majority_accuracy": None if several else largest / sum(counts),
    }


def _sizes(examples: Sequence[Example]) -> dict[str, Any] | None:
    sizes = [example.size for example in examples if example.size is not None]
    if not sizes:
        return None
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "n": len(sizes),
        "median": [median(size[axis] for size in sizes) for axis in (0, 1)],
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "not_square": sum(height != width for height, width in sizes) / len(sizes),
    }


def _crop(examples: Sequence[Example], images: Any) -> dict[str, Any] | None:
    """What a centre crop to the size that is read cuts away."""
    known = [example for example in examples if example.size is not None]
    if not known:
        return None
    losses = crop_losses(np.array([example.size for example in known]), *images.size)
    worst = int(losses.argmax())
    return {"mean": float(losses.mean()), "worst": float(losses[worst]), "worst_path": known[worst].name}
