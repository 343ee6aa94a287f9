"""A dataset, divided: train, val and test, with no example in two of them."""

import re
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Generic

import torch

from vit.data.found import E, Found
from vit.data.roster import find_dataset
from vit.data.splits.content import content_split, stratified_split
from vit.data.splits.record import LEARNT, SplitRecord
from vit.errors import VitError
from vit.ranges import require


@dataclass
class Splits(Generic[E]):
    """A dataset, divided.

    Attributes:
        train: To learn from.
        val: To choose by: checkpoints, hyperparameters.
        test: For the final figure alone; None if there is none.
        labels: Name of each class.
        name: Name of the dataset.
        skipped: Examples that could not be read and are in no split, each with the reason.
        notes: What was left aside, passed through or renamed, a line each.
        new: Examples that a run has not seen, where its record divides the data; None if there are none.
    """

    train: E
    val: E
    test: E | None
    labels: list[str]
    name: str
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    new: E | None = None

    def as_dict(self) -> dict[str, E]:
        """`train`, `val` and, where there are any, `test` and `new`."""
        parts = {"train": self.train, "val": self.val, "test": self.test, "new": self.new}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True)
class Division:
    """How data without parts of their own are divided.

    Args:
        val_fraction: In (0, 1), of what is not in test.
        test_fraction: In [0, 1); 0: no test split.
        seed: Decides which examples are held out.
        group: A regular expression, searched in an example's name; examples with the same first group are in
            one part. None: no groups.

    Raises:
        VitError: A fraction is out of range, or the expression is none, or has no group.
    """

    val_fraction: float = 0.1
    test_fraction: float = 0.2
    seed: int = 0
    group: str | None = None

    def __post_init__(self) -> None:
        require("data.val_fraction", self.val_fraction)
        require("data.test_fraction", self.test_fraction)
        if self.group is not None:
            try:
                groups = re.compile(self.group).groups
            except re.error as error:
                raise VitError(
                    f"data.group is {self.group!r}, which is no regular expression: {error}"
                ) from None
            if not groups:
                raise VitError(f"data.group is {self.group!r}, expected a group in it, as in '^([^_]+)_'")

    def groups(self, found: Found[Any]) -> dict[str, str]:
        """The groups of examples, by their names: those that the data name, or those of `group`.

        Raises:
            VitError: The expression matches no name.
        """
        groups: dict[str, str] = {}
        for part, examples in found.parts.items():
            if part in found.groups:
                groups |= zip(examples.names, found.groups[part], strict=True)
            elif self.group is not None:
                matches = ((name, re.search(self.group, name)) for name in examples.names)
                groups |= {name: match[1] for name, match in matches if match and match[1]}
        if self.group is not None and not groups:
            name = next((name for examples in found.parts.values() for name in examples.names), "")
            raise VitError(f"data.group is {self.group!r}, which matches no name, such as {name!r}")
        return groups


def divide(
    name: str, found: Found[Any], division: Division, record: SplitRecord | None = None
) -> Splits[Any]:
    """Train, val and test, from the parts that a dataset has.

    Args:
        name: Of the dataset.
        found: What its reader returned.
        division: How the rest is divided.
        record: Of a run: it decides on every example that the run has seen; the others are `new`.

    Raises:
        VitError: There is nothing to train on, or nothing to validate with.
    """
    notes = list(found.notes)
    if not find_dataset(name).is_format:
        parts = _by_position(found.parts, division)
    elif record is not None:
        found = _without_new_labels(found, record, notes)
        parts = by_record(found, record)
    else:
        groups = division.groups(found)
        parts = _without_copies(_by_content(found, division, groups), groups, notes)
    for part in ("train", "val"):
        if part not in parts or not len(parts[part].targets):
            had = ", ".join(found.parts) if "all" not in found.parts else "no parts"
            raise VitError(f"{name}: {part} is empty (the data have {had}); give more examples of each class")
    test, new = (parts.get(part) for part in ("test", "new"))
    return Splits(parts["train"], parts["val"], test, found.labels, name, found.skipped, notes, new)


def _without_new_labels(found: Found[E], record: SplitRecord, notes: list[str]) -> Found[E]:
    """The data without the labels, and their examples, that came after the run began."""
    known_labels = set(record.labels)
    kept = [index for index, label in enumerate(found.labels) if label in known_labels]
    came = [label for label in found.labels if label not in known_labels]
    if not came or any(examples.targets.ndim == 2 for examples in found.parts.values()):
        return found
    classes = torch.full((len(found.labels),), -1)
    classes[kept] = torch.arange(len(kept))
    parts: dict[str, Any] = {}
    for part, examples in found.parts.items():
        known = (classes[examples.targets] >= 0).nonzero().flatten()
        parts[part] = examples.subset(known)
        parts[part].targets = classes[parts[part].targets]
    notes.append(f"labels that came after the run began are left aside: {', '.join(came)}")
    return replace(found, parts=parts, labels=[found.labels[index] for index in kept])


def by_record(found: Found[E], record: SplitRecord) -> dict[str, E]:
    """The examples by the parts that they had in a run, whatever the data call them now.

    Args:
        found: The data as they are.
        record: Of the run.

    Returns:
        `train`, `val`, `test`, and `new` for those that the run has not seen; only those with examples.
    """

    def part(digest: str, name: str) -> str:
        return record.part(digest, name if found.named_by_path else None) or "new"

    return regrouped(found.parts, {
        own: [part(digest, name) for digest, name in zip(examples.digests, examples.names, strict=True)]
        for own, examples in found.parts.items()
    })  # fmt: skip


def regrouped(parts: dict[str, E], new_parts: dict[str, list[str]]) -> dict[str, E]:
    """The same examples in other parts.

    Args:
        parts: The examples.
        new_parts: For each part, the new part of each of its examples.
    """
    result: dict[str, Any] = {}
    for name in ("train", "val", "test", "new"):
        pieces = []
        for own, examples in parts.items():
            indices = [index for index, part in enumerate(new_parts[own]) if part == name]
            if len(indices) == len(new_parts[own]) and indices:
                pieces.append(examples)
            elif indices:
                pieces.append(examples.subset(indices))
        if pieces:
            result[name] = reduce(lambda first, other: first.joined(other), pieces)
    return result


def _by_position(parts: dict[str, Any], division: Division) -> dict[str, Any]:
    def held_out(examples: Any, fraction: float) -> tuple[Any, Any]:
        kept, held = stratified_split(examples.targets, fraction, division.seed)
        return examples.subset(kept), examples.subset(held)

    parts = dict(parts)
    if "all" in parts:
        parts["train"] = parts.pop("all")
    if parts.keys() == {"train"} and division.test_fraction:
        parts["train"], parts["test"] = held_out(parts["train"], division.test_fraction)
    if "val" not in parts and "train" in parts:
        parts["train"], parts["val"] = held_out(parts["train"], division.val_fraction)
    return parts


def _by_content(found: Found[Any], division: Division, groups: dict[str, str]) -> dict[str, Any]:
    own = "all" if "all" in found.parts else "train"
    if own not in found.parts or "val" in found.parts:
        return found.parts
    alone = found.parts.keys() <= {"all", "train"}
    examples = found.parts[own]
    new_parts = content_split(
        examples.digests,
        examples.targets,
        val_fraction=division.val_fraction,
        test_fraction=division.test_fraction if alone else 0.0,
        seed=division.seed,
        groups=[groups.get(name, "") for name in examples.names] if groups else (),
    )
    divided = regrouped({own: examples}, {own: new_parts})
    return {part: examples for part, examples in found.parts.items() if part != own} | divided


def _without_copies(parts: dict[str, E], groups: dict[str, str], notes: list[str]) -> dict[str, E]:
    """The same parts, val without the contents and groups of train, and test without those of both."""
    learnt: set[str] = set()
    parts = dict(parts)
    for part in (*LEARNT, "test"):
        if part not in parts:
            continue
        examples: Any = parts[part]
        keys = [
            {digest, f"group {groups[name]}" if groups.get(name) else digest}
            for digest, name in zip(examples.digests, examples.names, strict=True)
        ]
        kept = [index for index, both in enumerate(keys) if learnt.isdisjoint(both)]
        if len(kept) < len(keys):
            seen = "train" if part == "val" else "train or val"
            what = "content or group" if groups else "content"
            notes.append(f"{len(keys) - len(kept)} of {part} left aside: their {what} is in {seen} as well")
            parts[part] = examples.subset(kept)
        learnt.update(*(keys[index] for index in kept))
    return parts
