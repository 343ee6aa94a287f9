"""From the name of a dataset to its splits: train, val and test, and never one picture in two of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vit.data.cifar import read_cifar
from vit.data.digits import read_digits
from vit.data.folder import read_folder
from vit.data.images import Images, Skipped
from vit.data.parquet import read_parquet
from vit.data.splits import stratified_split
from vit.errors import VitError

NAMES = ("cifar10", "cifar100", "digits", "folder", "parquet")


@dataclass
class Splits:
    """A dataset, divided.

    Attributes:
        train: To learn from.
        val: To choose by: checkpoints, hyperparameters.
        test: For the final figure alone; None where there is none.
        labels: Name of each class.
        name: Name of the dataset.
        skipped: Pictures that could not be decoded and are in no split, each with the reason.
    """

    train: Images
    val: Images
    test: Images | None
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
) -> Splits:
    """Read a dataset and divide it.

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
    if not 0 < val_fraction < 1:
        raise VitError(f"data.val_fraction is {val_fraction}, expected more than 0 and less than 1")
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
    train, val, test = parts["train"], parts.get("val"), parts.get("test")
    if parts.keys() == {"train"} and test_fraction:
        train, test = _divided(train, test_fraction, split_seed)
    if val is None:
        train, val = _divided(train, val_fraction, split_seed)
    for part, images in (("train", train), ("val", val)):
        if not len(images):
            raise VitError(f"{name}: no pictures in {part}, expected at least one; give more pictures")
    return Splits(train, val, test, labels, name, skipped)


def _divided(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    kept, held = stratified_split(images.targets, fraction, seed)
    return images.subset(kept), images.subset(held)


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
