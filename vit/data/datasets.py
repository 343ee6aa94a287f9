"""From the name of a dataset to its examples, and to its parts."""

import os
from pathlib import Path
from typing import Any

from vit.data.found import Found, ReadOptions
from vit.data.roster import find_dataset
from vit.data.splits.division import Division, Splits, divide
from vit.data.splits.record import SplitRecord
from vit.errors import VitError


def load(
    name: str,
    root: str | Path | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    group: str | None = None,
    record: SplitRecord | None = None,
    **reading: Any,
) -> Splits[Any]:
    """Read a dataset and divide it, for training.

    Parts that the dataset has are kept. Where it has train alone, or no parts, `test_fraction` is held out
    for test; where it has no val, `val_fraction` of what remains is. Datasets that never change (`digits`)
    are divided class by class, one's own data by the content of each example (`content_split`); an example
    of one's own data whose content is in train or val as well is left out of test.

    Args:
        name: A dataset of `vit.data.roster.DATASETS`.
        root: Folder or file of the dataset; None: `$VIT_DATA/NAME`, for texts `$VIT_DATA/text/NAME`.
        image_size: One side in pixels, or height and width; None: the dataset's own, and 64 for `folder`.
        val_fraction: As in `Division`, as are the next three.
        test_fraction: See there.
        split_seed: See there.
        group: See there.
        record: Of the run that is continued: it decides on every example that the run has seen.
        reading: Further fields of `vit.data.found.ReadOptions`.

    Returns:
        `Splits[Images]` or `Splits[RawTexts]`.

    Raises:
        VitError: The name is unknown, a number is out of range, the data are missing or not as expected, or
            there are too few to train on.
    """
    division = Division(val_fraction, test_fraction, split_seed, group)
    found = read(name, root, ReadOptions(size=image_size_of(image_size), **reading))
    splits = divide(name, found, division, record)
    if find_dataset(name).labelled:
        require_trainable(splits)
    return splits


def read(name: str, root: str | Path | None, options: ReadOptions) -> Found[Any]:
    """Read a dataset; nothing is divided.

    Raises:
        VitError: The name is unknown, or the data are missing or not as expected.
    """
    dataset = find_dataset(name)
    path = _root(dataset.folder, root)
    if dataset.needs_root:
        _require_exists(name, path)
    found: Found[Any] = dataset.load_reader()(path, options)
    return found


def require_trainable(splits: Splits[Any]) -> None:
    """Refuse data that a classifier cannot be trained on, and classes that train lacks."""
    name, labels, targets = splits.name, splits.labels, splits.train.targets
    if targets.ndim == 2:
        present = (targets == 1).sum(0).tolist()
    else:
        present = targets.bincount(minlength=len(labels)).tolist()
        if len(labels) < 2:
            raise VitError(
                f"{name} has one class, {labels[0]!r}, expected at least two: a folder, or a label, for each"
                if labels
                else f"{name} has no class, expected at least two"
            )
    if lacking := [label for label, count in zip(labels, present, strict=True) if not count]:
        raise VitError(
            f"{name}: train has no example of {', '.join(map(repr, lacking[:5]))}, expected one at least"
        )


def image_size_of(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width of `data.image_size`; None: the dataset's own.

    Raises:
        VitError: A side is below 1.
    """
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
