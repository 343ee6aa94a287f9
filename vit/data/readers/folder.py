"""Folders of images: one folder per class, its name the label."""

import os
from pathlib import Path

import torch
from torch import Tensor

from vit.data.decode import DecodeError
from vit.data.images import FileImages, Images, Skipped, TensorImages, decode_images
from vit.data.preprocess import Preprocess
from vit.data.roster import SPLITS
from vit.errors import VitError


def read_folder(
    root: Path, *, size: tuple[int, int] | None, memory_gb: float
) -> tuple[dict[str, Images], list[str], Skipped]:
    """Find the images of a class tree, in RGB, and decode each of them once.

    `root` has `train` and, if they exist, `val` (or `valid`, `validation`, `dev`) and `test` in it, and these
    have the class folders; or `root` has the class folders itself and is all of train. Images may be at any
    depth in a class folder; hidden files and folders are ignored. Files that cannot be decoded are left out
    and reported here, so that they do not end the run later.

    Args:
        root: The folder.
        size: Height and width; None: 64 x 64.
        memory_gb: Pixels of up to this size are kept; above it, they are decoded again for every batch.

    Returns:
        The splits, the label names in sorted order, and the skipped files, each with a reason.

    Raises:
        VitError: No class folders, a class of train without images, or a class that train lacks.
    """
    if not root.is_dir():
        raise VitError(f"{root} is not a folder, expected one with a folder of pictures per class")
    trees = _trees(root)
    labels = _classes(trees["train"])
    if not labels:
        raise VitError(f"{trees['train']} has no class folders, expected one folder of pictures per class")
    for tree in trees.values():
        if unknown := sorted(set(_classes(tree)) - set(labels)):
            raise VitError(f"{tree} has the classes {unknown}, which {trees['train']} lacks: it has {labels}")
    files = {split: _files(tree, labels) for split, tree in trees.items()}
    height, width = size or (64, 64)
    keep = sum(len(paths) for paths, _ in files.values()) * 3 * height * width <= memory_gb * 1e9
    splits: dict[str, Images] = {}
    skipped: Skipped = []
    for split, (paths, targets) in files.items():
        splits[split] = _read(root, paths, targets, Preprocess(height, width), keep, skipped)
    counts = splits["train"].targets.bincount(minlength=len(labels))
    if empty := [label for label, count in zip(labels, counts.tolist(), strict=True) if not count]:
        raise VitError(f"{trees['train']} has no readable picture in {empty}, expected one at least")
    return splits, labels, skipped


def _trees(root: Path) -> dict[str, Path]:
    """The folder of each split; of several, the one whose name comes first in `SPLITS`."""
    trees = {
        split: root / name
        for split, names in SPLITS.items()
        for name in reversed(names)  # the last one assigned stays
        if (root / name).is_dir()
    }
    return trees if "train" in trees else {"train": root}


def _classes(tree: Path) -> list[str]:
    return sorted(entry.name for entry in tree.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(tree: Path, labels: list[str]) -> tuple[list[Path], Tensor]:
    """All visible files of the class folders, sorted, and their classes."""
    paths, targets = [], []
    for target, label in enumerate(labels):
        members = []
        for folder, subfolders, names in os.walk(tree / label):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            members += [Path(folder, name) for name in names if not name.startswith(".")]
        paths += sorted(members)
        targets += [target] * len(members)
    return paths, torch.tensor(targets, dtype=torch.int64)


def _read(
    root: Path, paths: list[Path], targets: Tensor, preprocess: Preprocess, keep: bool, skipped: Skipped
) -> Images:
    names = [path.relative_to(root).as_posix() for path in paths]
    pixels = torch.empty(len(paths) if keep else 0, 3, preprocess.height, preprocess.width, dtype=torch.uint8)
    readable: list[int] = []
    for i, image in enumerate(decode_images(paths, preprocess)):
        if isinstance(image, DecodeError):
            skipped.append((names[i], image.reason))
            continue
        if keep:
            pixels[len(readable)] = image
        readable.append(i)
    names, targets = [names[i] for i in readable], targets[readable]
    if keep:
        return TensorImages(pixels[: len(readable)], targets, names)
    return FileImages([paths[i] for i in readable], targets, names, preprocess)
