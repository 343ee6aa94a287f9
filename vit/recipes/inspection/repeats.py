"""Which examples of a dataset are equal, or look alike, within its parts and across them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.found import Found
from vit.data.texts import RawTexts
from vit.recipes.inspection.duplicates import SMALLEST_SIDE, alike, equal, fingerprints, text_key
from vit.recipes.inspection.origins import suggest_group
from vit.recipes.inspection.picture_sizes import Size

PARTS = ("train", "val", "test")
NUMBERS = {"train": 0, "all": 0, "val": 1, "test": 2}  # columns of partners
NAMED = 5  # pairs that are named
Partners = np.ndarray  # int64 (n, parts): of each example another one in each part; -1: none


@dataclass
class Example:
    """One picture or text.

    Args:
        name: As its reader names it.
        label: Of several labels, all that it has, joined by `|`.
        own_part: What the data say: `train`, `val`, `test`; `all` where they have no parts.
        part: What it is for training; empty: it is left out.
        digest: SHA-256 of its content.
        path: Its file; None: it has none of its own.
        size: Height and width of its picture; None: not known.
        duplicate_of: Name of an example with the same content.
        near_duplicate_of: Name of one that looks alike, or, of texts, has the same words.
    """

    name: str
    label: str
    own_part: str
    part: str
    digest: str
    path: Path | None = None
    size: Size | None = None
    duplicate_of: str = ""
    near_duplicate_of: str = ""


def exact_repeats(examples: Sequence[Example], *, left_out: bool) -> dict[str, Any]:
    """Examples with the same content, in the parts that the data themselves have.

    Args:
        examples: All of them; `duplicate_of` is set here.
        left_out: Training leaves out copies of what it has learnt.
    """
    own_parts = [example.own_part for example in examples]
    digests = [example.digest for example in examples]
    partners = equal(digests, _numbers(own_parts))
    for example, earlier in zip(examples, _earlier(examples, partners), strict=True):
        example.duplicate_of = earlier
    return {
        "copies": len(digests) - len(set(digests)),
        "across_parts": _across(examples, partners, own_parts),
        "two_labels": _two_labels(examples, partners),
        "left_out": left_out,
    }


def near_repeats(examples: Sequence[Example], found: Found[Any], *, grouped: bool) -> dict[str, Any] | None:
    """Pictures that look alike, and texts of the same words, in the parts that they have in training.

    Of examples with the same content one counts, the first of train, val and test.

    Args:
        examples: All of them; `near_duplicate_of` is set here.
        found: The same, as they were read.
        grouped: They are divided by groups already, so that no expression is suggested.

    Returns:
        None: the pictures are too small.
    """
    members = list(found.parts.values())
    if not isinstance(members[0], RawTexts) and min(members[0].size) < SMALLEST_SIDE:
        return None
    parts = _numbers([example.part for example in examples])
    first: dict[str, int] = {}
    for index in np.argsort(parts, kind="stable").tolist():
        if parts[index] >= 0:
            first.setdefault(examples[index].digest, index)
    considered = np.full(len(examples), -1)
    chosen = list(first.values())
    considered[chosen] = parts[chosen]
    if isinstance(members[0], RawTexts):
        partners = equal([text_key(text) for part in members for text in part.texts], considered)
    else:
        hashes, thumbnails = (np.concatenate(each) for each in zip(*map(fingerprints, members), strict=True))
        partners = alike(hashes, thumbnails, considered)
    for example, earlier in zip(examples, _earlier(examples, partners), strict=True):
        example.near_duplicate_of = earlier
    divisible = found.parts.keys() <= {"all", "train"} and found.named_by_path and not found.groups
    return {
        "n": int((partners >= 0).any(1).sum()),
        "across_parts": _across(examples, partners, [example.part for example in examples]),
        "two_labels": _two_labels(examples, partners),
        "divisible": divisible,
        "grouped": grouped,
        "group": _group(examples, partners) if divisible and not grouped else None,
    }


def _numbers(parts: Sequence[str]) -> np.ndarray:
    return np.array([NUMBERS.get(part, -1) for part in parts])


def _earlier(examples: Sequence[Example], partners: Partners) -> list[str]:
    """The name of each example's first partner before it; empty: none."""
    n = len(examples)
    known = (partners >= 0) & (partners < np.arange(n)[:, None])
    first = np.where(known, partners, n).min(1, initial=n).tolist()
    return [examples[index].name if index < n else "" for index in first]


def _across(examples: Sequence[Example], partners: Partners, parts: Sequence[str]) -> list[dict[str, Any]]:
    """How many of a part have a partner in one that comes before it."""
    result = []
    numbers = _numbers(parts)
    for part, other in (("test", "train"), ("test", "val"), ("val", "train")):
        if max(NUMBERS[part], NUMBERS[other]) >= partners.shape[1]:
            continue
        indices = np.flatnonzero((numbers == NUMBERS[part]) & (partners[:, NUMBERS[other]] >= 0)).tolist()
        if indices:
            pairs = [(index, partners[index, NUMBERS[other]]) for index in indices[:NAMED]]
            named = [[examples[index].name for index in pair] for pair in pairs]
            result.append({"part": part, "other": other, "n": len(indices), "examples": named})
    return result


def _two_labels(examples: Sequence[Example], partners: Partners) -> dict[str, Any]:
    """Pairs of partners with different labels."""
    pairs = sorted(pair for pair in _pairs(partners) if examples[pair[0]].label != examples[pair[1]].label)
    named = [
        [{"path": examples[index].name, "label": examples[index].label} for index in pair]
        for pair in pairs[:NAMED]
    ]
    return {"n": len(pairs), "examples": named}


def _pairs(partners: Partners) -> set[tuple[int, int]]:
    firsts, columns = np.nonzero(partners >= 0)
    seconds = partners[firsts, columns]
    return set(zip(np.minimum(firsts, seconds).tolist(), np.maximum(firsts, seconds).tolist(), strict=True))


def _group(examples: Sequence[Example], partners: Partners) -> str | None:
    names, labels = ([getattr(example, key) for example in examples] for key in ("name", "label"))
    return suggest_group(names, labels, sorted(_pairs(partners)))
