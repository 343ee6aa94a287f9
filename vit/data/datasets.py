"""From the name of a dataset to its splits: train, val and test, with no example in two of them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor

from vit.data.images import Images
from vit.data.roster import Kind, find_dataset
from vit.data.splits import stratified_split
from vit.data.texts import RawTexts
from vit.errors import VitError
from vit.ranges import require


class Divisible(Protocol):
    """Examples that can be divided class by class: images or texts."""

    @property
    def targets(self) -> Tensor:
        """int64 (n,), the class of each example."""
        ...

    def subset(self, indices: list[int] | Tensor) -> Self:
        """The examples at `indices`."""
        ...


Examples = TypeVar("Examples")
D = TypeVar("D", bound=Divisible)


@dataclass
class Splits(Generic[Examples]):
    """A dataset, divided.

    Attributes:
        train: To learn from.
        val: To choose by: checkpoints, hyperparameters.
        test: For the final figure alone; None if there is none.
        labels: Name of each class.
        name: Name of the dataset.
        skipped: Examples that could not be read and are in no split, each with the reason.
    """

    train: Examples
    val: Examples
    test: Examples | None
    labels: list[str]
    name: str
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Examples]:
        """`train`, `val` and, where there is one, `test`."""
        splits = {"train": self.train, "val": self.val}
        return splits if self.test is None else splits | {"test": self.test}


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
    """Read an image dataset and divide it.

    Splits that the dataset has are kept as they are. Where it has train alone, `test_fraction` of it is held
    out for test; where it has no val, `val_fraction` of what remains is; both class by class.

    Args:
        name: An image dataset of `vit.data.roster.DATASETS`.
        root: Folder or file of the dataset; None: `$VIT_DATA/NAME`. `digits` needs none.
        image_size: One side in pixels, or height and width; None: the dataset's own, and 64 for `folder`.
        val_fraction: In (0, 1).
        test_fraction: In [0, 1); 0: no test split.
        split_seed: Decides which examples are held out.
        memory_gb: Largest size of decoded pixels; `folder` decodes batch by batch above it, others refuse.

    Raises:
        VitError: The name is unknown, a number is out of range, or the data are missing or not as expected.
    """
    return _load(
        "image", name, root, val_fraction, test_fraction, split_seed,
        size=_size(image_size), memory_gb=memory_gb,
    )  # fmt: skip


def load_texts(
    name: str,
    root: str | Path | None = None,
    *,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> Splits[RawTexts]:
    """Read a text dataset and divide it, as `load` does.

    Args:
        name: A text dataset of `vit.data.roster.DATASETS`; all of them are TSV, CSV, JSONL or parquet.
        root: As `read_texts` takes it; None: `$VIT_DATA/text/NAME`, or `$VIT_DATA/text` for `text`.
        val_fraction: In (0, 1).
        test_fraction: In [0, 1); 0: no test split.
        split_seed: Decides which examples are held out.

    Raises:
        VitError: As `load`; a broken row is named with its line.
    """
    return _load("text", name, root, val_fraction, test_fraction, split_seed)


def _load(
    kind: Kind,
    name: str,
    root: str | Path | None,
    val_fraction: float,
    test_fraction: float,
    split_seed: int,
    **options: Any,
) -> Splits[Any]:
    require("data.val_fraction", val_fraction)
    require("data.test_fraction", test_fraction)
    dataset = find_dataset(name)
    if dataset.kind != kind:
        raise VitError(f"data.name is {name!r}, which holds {dataset.kind}s, expected {kind}s")
    path = _root(dataset.folder, root)
    if dataset.needs_root:
        _require_exists(name, path)
    splits, labels, skipped = dataset.load_reader()(path, **options)
    train, val, test = _divide(name, splits, val_fraction, test_fraction, split_seed)
    return Splits(train, val, test, labels, name, skipped)


def _divide(
    name: str, splits: dict[str, D], val_fraction: float, test_fraction: float, seed: int
) -> tuple[D, D, D | None]:
    """Train, val and test, from those splits that a dataset has."""

    def held_out(examples: D, fraction: float) -> tuple[D, D]:
        kept, held = stratified_split(examples.targets, fraction, seed)
        return examples.subset(kept), examples.subset(held)

    train, val, test = splits["train"], splits.get("val"), splits.get("test")
    if splits.keys() == {"train"} and test_fraction:
        train, test = held_out(train, test_fraction)
    if val is None:
        train, val = held_out(train, val_fraction)
    for split, examples in (("train", train), ("val", val)):
        if not len(examples.targets):
            raise VitError(f"{name}: {split} is empty, expected at least one example; give more of them")
    return train, val, test


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 1:
        raise VitError(f"data.image_size is {height} x {width}, expected at least 1 x 1")
    return height, width


def _root(folder: str, root: str | Path | None) -> Path | None:
    if root is not None:
        return Path(root).expanduser()
    return Path(os.environ["VIT_DATA"]).expanduser() / folder if os.environ.get("VIT_DATA") else None


def _require_exists(name: str, root: Path | None) -> None:
    if root is None:
        raise VitError(f"data {name!r} has no root: neither data.root nor VIT_DATA is set; give one of them")
    if not root.exists():
        raise VitError(f"data {name!r}: {root} does not exist; give data.root, or fix VIT_DATA")
