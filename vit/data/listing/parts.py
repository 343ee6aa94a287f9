"""The parts of a dataset, told by the names of its files or folders. Imports no torch."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.data.roster import SPLITS
from vit.errors import VitError

# Words that may follow a part's name without a meaning: training_set, test-images.
FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "pictures", "photos", "texts", "split"}
SHARD = re.compile(r"[-_.]?(?:part[-_]?)?\d+(?:[-_]of[-_]\d+)?$")  # as in train-00000-of-00002
WORDS = {word: part for part, words in SPLITS.items() for word in words}
PART = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)


class PartName(NamedTuple):
    """What a name says.

    Args:
        part: `train`, `val` or `test`.
        rest: What follows the part's name, in lower case, without fillers and the number of a shard: `old`.
    """

    part: str
    rest: str


class Parts(NamedTuple):
    """The files or folders of a dataset's parts.

    Args:
        paths: Part -> its files or folders, sorted. Empty: none of the names is a part's.
        aside: What is not read although its name begins like a part's, each with the reason.
    """

    paths: dict[str, list[Path]]
    aside: list[tuple[Path, str]]


def part_name(path: Path) -> PartName | None:
    """The part that a name begins with, in any case; None: it is no part's name.

    `train`, `Training`, `train_set`, `train.csv`, `train-00000-of-00002.parquet` and `train_old.csv` begin
    with one, `trainers` and `my_train` do not.
    """
    stem = path.name.split(".")[0]
    match = PART.match(stem)
    if match is None:
        return None
    rest = SHARD.sub("", stem[match.end() :]) if path.suffix else stem[match.end() :]
    words = [word for word in re.split(r"[\W_]+", rest.lower()) if word and word not in FILLERS]
    return PartName(WORDS[match[1].lower()], " ".join(words))


def find_parts(paths: Iterable[Path]) -> Parts:
    """Sort the files or folders of a dataset into its parts.

    Names that end alike belong together: `train_v2` and `test_v2`. Where plain names (`train`, `test`) stand
    beside longer ones (`train_old`), the longer ones are left aside.

    Args:
        paths: Candidates: either folders, or files of one kind.

    Raises:
        VitError: The names allow more than one reading.
    """
    named = [(path, name) for path in sorted(paths) if (name := part_name(path))]
    endings = sorted({name.rest for _, name in named})
    if not endings:
        return Parts({}, [])
    if len(endings) > 1 and "" not in endings:
        names = ", ".join(path.name for path, _ in named)
        raise VitError(
            f"{named[0][0].parent} has {names}: which of them belong together? Move the others away, or give "
            "their names one ending"
        )
    chosen: dict[str, list[Path]] = {}
    for path, name in named:
        if name.rest == endings[0]:
            chosen.setdefault(name.part, []).append(path)
    for part, members in chosen.items():
        _require_one_name(part, members)
    order = {part: chosen[part] for part in SPLITS if part in chosen}
    aside = [
        (path, f"{', '.join(p.name for p in order[name.part])} is read as {name.part}")
        if name.part in order
        else (path, f"it is not named {name.part}")
        for path, name in named
        if name.rest != endings[0]
    ]
    return Parts(order, aside)


def _require_one_name(part: str, members: list[Path]) -> None:
    """Several members of a part are shards of one file: their names differ in a number alone."""
    if len({(SHARD.sub("", path.name.split(".")[0]).lower(), path.suffix) for path in members}) > 1:
        names = " and ".join(path.name for path in members)
        raise VitError(f"{members[0].parent} has {names}, each of which may be {part}: remove or rename one")
