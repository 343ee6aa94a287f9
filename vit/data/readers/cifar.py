"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from parquet files, the original archives, or the network."""

import os
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import torch

from vit.data.found import Found, ReadOptions
from vit.data.images import Images, TensorImages, resize_images
from vit.data.preprocess import Preprocess
from vit.data.readers.parquet import parquet_files, read_parquet
from vit.errors import VitError

# The standard names, for files without label names.
LABELS = {
    "cifar10": [
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ],
    "cifar100": [
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
        "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
        "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
        "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
        "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
        "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout",
        "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ],
}  # fmt: skip


def read_cifar10(root: Path | None, options: ReadOptions) -> Found[Images]:
    """The splits `train` and `test` in RGB.

    Looked for in this order: parquet files in `root`; the original archive or its extracted folder in `root`,
    read by torchvision, which checks them; where `root` has nothing, a download by torchvision into it.

    Args:
        root: The folder; None: `~/.cache/vit/cifar10`.
        options: `size` None: 32 x 32.

    Raises:
        VitError: None of the three worked; the message says what was tried and how to provide the data.
    """
    return _read("cifar10", root, options)


def read_cifar100(root: Path | None, options: ReadOptions) -> Found[Images]:
    """As `read_cifar10`, with the fine labels."""
    return _read("cifar100", root, options)


def _read(name: str, root: Path | None, options: ReadOptions) -> Found[Images]:
    root = root or cache_folder(name)
    if root.is_file() or parquet_files(root):
        found = read_parquet(root, options)
        names = {str(number): label for number, label in enumerate(LABELS[name])}
        if set(found.labels) <= names.keys():
            found.labels = [names[label] for label in found.labels]
        for images in found.parts.values():
            images.digests = []
        return found
    return _read_originals(name, root, options.geometry((32, 32)))


def cache_folder(name: str) -> Path:
    """The folder for downloads where no root is given."""
    return Path.home() / ".cache" / "vit" / name


def _read_originals(name: str, root: Path, preprocess: Preprocess) -> Found[Images]:
    from torchvision import datasets

    kind: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    extracted = _extracted(name, kind, root)
    parts: dict[str, Images] = {}
    for split in ("train", "test"):
        try:
            with warnings.catch_warnings():  # NumPy 2.4 warns of a dtype in these pickles of 2009
                warnings.simplefilter("ignore")
                original = kind(extracted, train=split == "train")
        except (RuntimeError, OSError) as error:
            way_out = f"remove {extracted / kind.base_folder} and extract {kind.filename} again"
            raise VitError(f"{name}: torchvision cannot read {extracted}: {error}; {way_out}") from None
        pixels = torch.from_numpy(original.data).permute(0, 3, 1, 2).contiguous()
        names = [f"{split}/{i:05d}" for i in range(len(pixels))]
        parts[split] = TensorImages(resize_images(pixels, preprocess), torch.tensor(original.targets), names)
        labels = list(original.classes)
    return Found(parts, labels)


def _extracted(name: str, kind: Any, root: Path) -> Path:
    """The folder with the extracted archive, which is extracted or downloaded first if it is missing."""
    from torchvision.datasets import utils

    archive = root / kind.filename
    if (root / kind.base_folder).is_dir():
        return root
    if not archive.exists():
        _download(name, kind, root)
    if not utils.check_integrity(str(archive), kind.tgz_md5):
        raise VitError(f"{archive} is damaged: its MD5 sum is not {kind.tgz_md5}; fetch it again")
    folder = root if os.access(root, os.W_OK) else cache_folder(name)
    if not (folder / kind.base_folder).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        utils.extract_archive(str(archive), str(folder))
    return folder


def _download(name: str, kind: Any, root: Path) -> None:
    from torchvision.datasets import utils

    way_out = f"put train-*.parquet and test-*.parquet, or {kind.filename}, into {root}"
    if root.is_dir() and any(root.iterdir()):
        raise VitError(f"{name}: {root} has neither parquet files nor {kind.filename}; {way_out}")
    try:
        with urllib.request.urlopen(kind.url, timeout=20):  # torchvision itself has no timeout
            pass
        root.mkdir(parents=True, exist_ok=True)
        utils.download_url(kind.url, str(root), kind.filename, kind.tgz_md5)
    except (OSError, RuntimeError) as error:
        tried = f"nothing in {root}, and the download of {kind.url} failed ({error})"
        raise VitError(f"{name}: {tried}; {way_out}, or give data.root or VIT_DATA") from None
