"""From the name of a dataset to its splits: train, val and test, and never one picture in two of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from torch import Tensor

from vit.data.images import Images, Skipped
from vit.data.readers.cifar import read_cifar
from vit.data.readers.digits import read_digits
from vit.data.readers.folder import read_folder
from vit.data.readers.parquet import read_parquet
from vit.data.splits import stratified_split
from vit.data.texts import Sentences, read_texts
from vit.errors import VitError

NAMES = ("cifar10", "cifar100", "digits", "folder", "parquet")
TEXTS = ("sst2", "trec", "text")


class Divisible(Protocol):
    """What can be divided class by class: pictures or texts."""

    @property
    def targets(self) -> Tensor:
        """int64 (n,), the class of each."""
        ...

    def subset(self, indices: list[int] | Tensor) -> Self:
        """Those at `indices` alone."""
        ...


Part = TypeVar("Part")
D = TypeVar("D", bound=Divisible)


@dataclass
class Splits(Generic[Part]):
    """A dataset, divided.

    Attributes:
        train: To learn from.
        val: To choose by: checkpoints, hyperparameters.
        test: For the final figure alone; None where there is none.
        labels: Name of each class.
        name: Name of the dataset.
        skipped: Pictures or texts that could not be read and are in no split, each with the reason.
    """

    train: Part
    val: Part
    test: Part | None
    labels: list[str]
    name: str
    skipped: list[tuple[str, str]] = field(default_factory=list)


def load(
    name: str,
    root: str | Path | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    memory_gb: float = 4.0,
) -> Splits[Images]:
    """Read a dataset of pictures and divide it.

    Parts that the dataset brings are kept as they are. Where it brings train alone, `test_fraction` of it is
    held out for test; where it has no val part, `val_fraction` of what remains is; both class by class.

    Args:
        name: `cifar10`, `cifar100`, `digits`, `folder` or `parquet`.
        root: Folder or file of the dataset; None: `$VIT_DATA/NAME`. `digits` needs none.
        image_size: One side in pixels, or height and width; None: the dataset's own, and 64 for `folder`.
        val_fraction: In (0, 1).
        test_fraction: In [0, 1); 0: no test part.
        split_seed: Decides which pictures are held out.
        memory_gb: Largest size of decoded pixels; `folder` decodes batch by batch above it, others refuse.

    Raises:
        VitError: The name is unknown, or the data are missing or not as expected.
    """
    if name not in NAMES:
        raise VitError(f"data.name is {name!r}, expected one of {', '.join(NAMES)}")
    size = _size(image_size)
    place = _root(name, root)
    readers: dict[str, Callable[[], tuple[dict[str, Images], list[str], Skipped]]] = {
        "cifar10": partial(read_cifar, name, place, size=size, memory_gb=memory_gb),
        "cifar100": partial(read_cifar, name, place, size=size, memory_gb=memory_gb),
        "digits": partial(read_digits, size),
        "folder": lambda: read_folder(_found(name, place), size=size, memory_gb=memory_gb),
        "parquet": lambda: read_parquet(_found(name, place), size=size, memory_gb=memory_gb),
    }
    parts, labels, skipped = readers[name]()
    train, val, test = _divided(name, parts, val_fraction, test_fraction, split_seed)
    return Splits(train, val, test, labels, name, skipped)


def load_texts(
    name: str,
    root: str | Path | None = None,
    *,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> Splits[Sentences]:
    """Read a dataset of texts and divide it, as `load` does.

    Args:
        name: `sst2`, `trec` or `text`, which all read TSV, CSV, JSONL or parquet.
        root: As `read_texts` takes it; None: `$VIT_DATA/text/NAME`, or `$VIT_DATA/text` for `text`.
        val_fraction: In (0, 1).
        test_fraction: In [0, 1); 0: no test part.
        split_seed: Decides which texts are held out.

    Raises:
        VitError: The data are missing or not as expected; a broken row is named with its line.
    """
    place = _root("text" if name == "text" else f"text/{name}", root)
    parts, labels, skipped = read_texts(_found(name, place))
    train, val, test = _divided(name, parts, val_fraction, test_fraction, split_seed)
    return Splits(train, val, test, labels, name, skipped)


def _divided(
    name: str, parts: dict[str, D], val_fraction: float, test_fraction: float, seed: int
) -> tuple[D, D, D | None]:
    """Train, val and test, from those parts that a dataset brings."""
    if not 0 < val_fraction < 1:
        raise VitError(f"data.val_fraction is {val_fraction}, expected more than 0 and less than 1")

    def held_out(part: D, fraction: float) -> tuple[D, D]:
        kept, held = stratified_split(part.targets, fraction, seed)
        return part.subset(kept), part.subset(held)

    train, val, test = parts["train"], parts.get("val"), parts.get("test")
    if parts.keys() == {"train"} and test_fraction:
        train, test = held_out(train, test_fraction)
    if val is None:
        train, val = held_out(train, val_fraction)
    for which, part in (("train", train), ("val", val)):
        if not len(part.targets):
            raise VitError(f"{name}: {which} is empty, expected at least one example; give more of them")
    return train, val, test


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 1:
        raise VitError(f"data.image_size is {height} x {width}, expected at least 1 x 1")
    return height, width


def _root(name: str, root: str | Path | None) -> Path | None:
    if root is not None:
        return Path(root).expanduser()
    return Path(os.environ["VIT_DATA"]).expanduser() / name if os.environ.get("VIT_DATA") else None


def _found(name: str, root: Path | None) -> Path:
    if root is None:
        raise VitError(f"data {name!r} has no root: neither data.root nor VIT_DATA is set; give one of them")
    if not root.exists():
        raise VitError(f"data {name!r}: {root} does not exist; give data.root, or mend VIT_DATA")
    return root
