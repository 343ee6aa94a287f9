"""How a dataset is divided: by position if it never changes, by content if it is one's own."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

import torch
from torch import Tensor

from vit.data.randomness import generator
from vit.errors import VitError

PARTS = ("train", "test", "val")


def stratified_split(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Divide examples in two by position, with the same fraction of every class held out.

    Of a class with n examples, `round(fraction * n)` are held out: at least one if it has two or more, and
    never all. Which ones depends on the seed and the class alone, not on torch's global generator.

    Args:
        targets: int64 (n,), the class of each example.
        fraction: Fraction to hold out, in [0, 1).
        seed: Decides which examples.

    Returns:
        The kept and the held indices, int64, each sorted.

    Raises:
        VitError: `fraction` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise VitError(f"cannot hold out a fraction of {fraction} of the data, expected 0 <= fraction < 1")
    held = torch.zeros(len(targets), dtype=torch.bool)
    for label in targets.unique().tolist():
        members = (targets == label).nonzero().flatten()
        wanted = max(round(fraction * len(members)), 1) if fraction else 0
        order = torch.randperm(len(members), generator=generator(seed, label))
        held[members[order[: min(wanted, len(members) - 1)]]] = True
    return (~held).nonzero().flatten(), held.nonzero().flatten()


def content_split(
    digests: Sequence[str],
    targets: Tensor,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    groups: Sequence[str] = (),
) -> list[str]:
    """The part of each example: a function of its content, so that other examples do not matter.

    A hash of seed and content gives each example a place in [0, 1), and the fractions divide this range. So
    copies, and files that were renamed, are in one part, and an example keeps its part when others come or
    go. The fractions hold on average. One exception makes small classes usable: where a class would be
    missing in a part, the examples nearest to that part's range are moved there, train first, then test,
    then val.

    Args:
        digests: n hashes of the contents.
        targets: int64 (n,), the class of each; or float32 (n, labels): 1 has the label.
        val_fraction: In [0, 1): fraction of what is not in test.
        test_fraction: In [0, 1).
        seed: Decides which examples.
        groups: n names; examples with one name are in one part, and "" is no name. Empty: none.

    Returns:
        n times `train`, `val` or `test`.
    """
    units = _units(digests, groups)
    keys: dict[int, str] = {}
    for unit, group, digest in zip(units, groups or [""] * len(digests), digests, strict=True):
        key = f"group {group}" if group else digest
        keys[unit] = min(key, keys.get(unit, key))
    places = {unit: _place(seed, key) for unit, key in keys.items()}
    first_val, first_train = test_fraction, test_fraction + (1 - test_fraction) * val_fraction
    parts = {
        unit: "test" if place < first_val else "val" if place < first_train else "train"
        for unit, place in places.items()
    }
    classes = [sorted(members, key=places.__getitem__) for members in _classes(units, targets)]
    for part, fraction in (("test", test_fraction), ("val", val_fraction)):
        for members in classes if fraction else ():
            _fill(members, parts, part)
    for members in classes:  # last: a unit of two classes is needed here most
        if all(parts[unit] != "train" for unit in members):
            parts[members[-1]] = "train"
    return [parts[unit] for unit in units]


def _units(digests: Sequence[str], groups: Sequence[str]) -> list[int]:
    """A number for each example, equal where content or group is equal, directly or through others."""
    parent = list(range(len(digests)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for names in (digests, groups):
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if name:
                parent[root(index)] = root(first.setdefault(name, index))
    return [root(index) for index in range(len(digests))]


def _place(seed: int, key: str) -> float:
    content = f"{seed}:{key}".encode("utf-8", "surrogateescape")
    return int.from_bytes(sha256(content).digest()[:6]) / 2**48


def _classes(units: Sequence[int], targets: Tensor) -> Iterator[set[int]]:
    """The units of each class, rare classes last: they decide where two classes share a unit."""
    if targets.ndim == 1:
        members = [(targets == label).nonzero().flatten() for label in targets.unique().tolist()]
    else:
        members = [(targets[:, label] == 1).nonzero().flatten() for label in range(targets.shape[1])]
    for indices in sorted(members, key=len, reverse=True):
        if len(indices):
            yield {units[index] for index in indices.tolist()}


def _fill(members: list[int], parts: dict[int, str], part: str) -> None:
    """Give a class one unit in `part`, if it has none there and more than one elsewhere.

    Args:
        members: Units of the class, by their place.
        parts: Part of each unit; changed here.
        part: `test` or `val`.
    """
    own = {name: [unit for unit in members if parts[unit] == name] for name in PARTS}
    donor = next((units for units in own.values() if len(units) > 1), None)
    if not own[part] and donor:
        parts[donor[0]] = part
