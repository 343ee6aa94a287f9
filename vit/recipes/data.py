"""From a config, or from a name or path, to data: read, split, and as the model needs them."""

from pathlib import Path
from typing import Any

from torch import Tensor

from vit.config import DataConfig, nearest
from vit.data.datasets import Splits, load, load_texts
from vit.data.images import Images, statistics
from vit.data.preprocess import Preprocess
from vit.data.roster import FOUND_BY_NAME, find_dataset
from vit.data.texts import RawTexts, TokenizedTexts
from vit.errors import VitError
from vit.text import Tokenizer


def load_data(config: DataConfig) -> Splits[Any]:
    """The dataset of a config: `Splits[Images]`, or `Splits[RawTexts]`, not yet tokenized.

    Raises:
        VitError: The name is unknown, or the data are missing or broken.
    """
    shared: dict[str, Any] = {
        "val_fraction": config.val_fraction,
        "test_fraction": config.test_fraction,
        "split_seed": config.split_seed,
    }
    if find_dataset(config.name).kind == "text":
        return load_texts(config.name, config.root, **shared)
    return load(config.name, config.root, image_size=config.image_size, memory_gb=config.memory_gb, **shared)


def tokenised(splits: Splits[RawTexts], tokenizer: Tokenizer) -> Splits[TokenizedTexts]:
    """The same texts as token ids.

    Raises:
        VitError: A text is not Unicode.
    """

    def ids(texts: RawTexts) -> TokenizedTexts:
        return TokenizedTexts(texts, [tokenizer(text) for text in texts.texts], tokenizer.padding)

    test = None if splits.test is None else ids(splits.test)
    return Splits(ids(splits.train), ids(splits.val), test, splits.labels, splits.name, splits.skipped)


def named_data(name_or_path: str, *, texts: bool = False) -> DataConfig:
    """The config of a dataset's name, a folder of class folders, parquet, or tables of texts.

    Args:
        name_or_path: What a command line names.
        texts: A path holds texts, whatever it looks like: parquet may hold images or texts.

    Raises:
        VitError: It is none of these.
    """
    if name_or_path in FOUND_BY_NAME:
        return DataConfig(name=name_or_path)
    path = Path(name_or_path)
    if not path.exists():
        hint = nearest(name_or_path, list(FOUND_BY_NAME))
        raise VitError(f"{name_or_path} is neither a dataset's name nor a path{hint}")
    tables = [path] if path.is_file() else path.glob("train*")
    if texts or any(file.suffix in (".tsv", ".csv", ".jsonl") for file in tables):
        return DataConfig(name="text", root=name_or_path)
    parquet = path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))
    return DataConfig(name="parquet" if parquet else "folder", root=name_or_path)


def preprocess_for(splits: Splits[Images]) -> Preprocess:
    """Preprocessing for the training images: their size, and the mean and deviation of their pixels."""
    height, width = splits.train.size
    mean, std = statistics(splits.train)
    return Preprocess(height, width, splits.train.channels, mean, std)


def unchanged(ids: Tensor) -> Tensor:
    """Token ids need no normalisation."""
    return ids
