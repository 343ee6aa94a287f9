"""Folders of pictures: one folder per class, its name the label."""

import os
from pathlib import Path

import torch
from torch import Tensor

from vit.data.decode import DecodeError
from vit.data.images import FileImages, Images, Skipped, TensorImages, decoded
from vit.data.preprocess import Preprocess
from vit.errors import VitError

PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def read_folder(
    root: Path, *, size: tuple[int, int] | None, memory_gb: float
) -> tuple[dict[str, Images], list[str], Skipped]:
    """Find the pictures of a class tree, in RGB, and decode each of them once.

    `root` has `train` and, as they exist, `val` (or `valid`, `validation`) and `test` in it, and these have
    the class folders; or `root` has the class folders itself and is all of train. Pictures may lie at any
    depth in a class folder; hidden files and folders are passed over. What cannot be decoded is left out and
    reported, so that no file ends a run later.

    Args:
        root: The folder.
        size: Height and width; None: 64 x 64.
        memory_gb: Pixels of up to this size are kept; above it, they are decoded again for every batch.

    Returns:
        The parts, the label names in sorted order, and the skipped files, each with a reason.

    Raises:
        VitError: No class folders, a class of train without pictures, or a class that train lacks.
    """
    if not root.is_dir():
        raise VitError(f"{root} is no folder, expected one with a folder of pictures per class")
    trees = _trees(root)
    labels = _classes(trees["train"])
    if not labels:
        raise VitError(f"{trees['train']} has no class folders, expected one folder of pictures per class")
    for tree in trees.values():
        if strange := sorted(set(_classes(tree)) - set(labels)):
            raise VitError(f"{tree} has the classes {strange}, which {trees['train']} lacks: it has {labels}")
    found = {part: _files(tree, labels) for part, tree in trees.items()}
    height, width = size or (64, 64)
    keep = sum(len(paths) for paths, _ in found.values()) * 3 * height * width <= memory_gb * 1e9
    parts: dict[str, Images] = {}
    skipped: Skipped = []
    for part, (paths, targets) in found.items():
        parts[part] = _read(root, paths, targets, Preprocess(height, width), keep, skipped)
    counts = parts["train"].targets.bincount(minlength=len(labels))
    if empty := [label for label, count in zip(labels, counts.tolist(), strict=True) if not count]:
        raise VitError(f"{trees['train']} has no readable picture in {empty}, expected one at least")
    return parts, labels, skipped


def _trees(root: Path) -> dict[str, Path]:
    found = {
        part: next(root / name for name in names if (root / name).is_dir())
        for part, names in PARTS.items()
        if any((root / name).is_dir() for name in names)
    }
    return found if "train" in found else {"train": root}


def _classes(tree: Path) -> list[str]:
    return sorted(entry.name for entry in tree.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(tree: Path, labels: list[str]) -> tuple[list[Path], Tensor]:
    """All visible files of the class folders, sorted, and their classes."""
    paths, targets = [], []
    for place, label in enumerate(labels):
        mine = []
        for folder, inner, names in os.walk(tree / label):
            inner[:] = [name for name in inner if not name.startswith(".")]
            mine += [Path(folder, name) for name in names if not name.startswith(".")]
        paths += sorted(mine)
        targets += [place] * len(mine)
    return paths, torch.tensor(targets, dtype=torch.int64)


def _read(
    root: Path, paths: list[Path], targets: Tensor, preprocess: Preprocess, keep: bool, skipped: Skipped
) -> Images:
    names = [path.relative_to(root).as_posix() for path in paths]
    pixels = torch.empty(len(paths) if keep else 0, 3, preprocess.height, preprocess.width, dtype=torch.uint8)
    good: list[int] = []
    for i, found in enumerate(decoded(paths, preprocess)):
        if isinstance(found, DecodeError):
            skipped.append((names[i], found.reason))
            continue
        if keep:
            pixels[len(good)] = found
        good.append(i)
    names, targets = [names[i] for i in good], targets[good]
    if keep:
        return TensorImages(pixels[: len(good)], targets, names)
    return FileImages([paths[i] for i in good], targets, names, preprocess)
