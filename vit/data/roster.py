"""The datasets that `data.name` accepts, and the names of their splits. Imports no torch.

To add a dataset: write its reader, and add its line to `DATASETS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from vit.config import nearest
from vit.errors import UsageError

Kind = Literal["image", "text"]
KIND_NAMES: dict[Kind, str] = {"image": "pictures", "text": "texts"}  # as messages name examples


@dataclass(frozen=True)
class Dataset:
    """One value of `data.name`.

    Args:
        kind: What an example is.
        reader: `module:function`, imported when it is called. Image datasets: `function(root, *, size,
            memory_gb)`, text datasets: `function(root)`. It returns the splits that the dataset has
            (`dict[str, Images]` or `dict[str, RawTexts]`), the label names, and the skipped examples.
        folder: Folder below `$VIT_DATA` where `data.root` is not given.
        needs_root: Refuse a root that is not given or does not exist, before the reader is called. False: the
            reader downloads the data, or has them.
        is_format: A file format, for any data at `data.root`; False: a dataset that is found by its name.
        labelled: Its examples have labels; False: texts alone, on which language models are trained.
    """

    kind: Kind
    reader: str
    folder: str
    needs_root: bool = True
    is_format: bool = False
    labelled: bool = True

    def load_reader(self) -> Callable[..., Any]:
        """Import the reader."""
        module, function = self.reader.split(":")
        return getattr(import_module(module), function)


DATASETS = {
    "cifar10": Dataset("image", "vit.data.readers.cifar:read_cifar10", "cifar10", needs_root=False),
    "cifar100": Dataset("image", "vit.data.readers.cifar:read_cifar100", "cifar100", needs_root=False),
    "digits": Dataset("image", "vit.data.readers.digits:read_digits", "digits", needs_root=False),
    "folder": Dataset("image", "vit.data.readers.folder:read_folder", "folder", is_format=True),
    "parquet": Dataset("image", "vit.data.readers.parquet:read_parquet", "parquet", is_format=True),
    "sst2": Dataset("text", "vit.data.readers.texts:read_texts", "text/sst2"),
    "trec": Dataset("text", "vit.data.readers.texts:read_texts", "text/trec"),
    "text": Dataset("text", "vit.data.readers.texts:read_texts", "text", is_format=True),
    "lines": Dataset("text", "vit.data.readers.lines:read_lines", "text", is_format=True, labelled=False),
}

FOUND_BY_NAME = tuple(name for name, dataset in DATASETS.items() if not dataset.is_format)

# The parts of a dataset, and what a file or folder that holds one may be called, in any case.
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}


def find_dataset(name: str) -> Dataset:
    """The line of a name.

    Raises:
        UsageError: The name is unknown; the nearest known one is given.
    """
    if name not in DATASETS:
        raise UsageError(f"data.name is {name!r}{nearest(name, list(DATASETS))}")
    return DATASETS[name]
