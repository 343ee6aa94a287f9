"""From a config or a word to data: pictures or texts, divided, and brought to what a model reads."""

from pathlib import Path

from torch import Tensor

from vit.config import DATASETS, DataConfig, nearest
from vit.data.datasets import Splits, load_texts
from vit.data.datasets import load as load_splits
from vit.data.images import Images, statistics
from vit.data.preprocess import Preprocess
from vit.data.texts import Sentences, Texts
from vit.errors import VitError
from vit.text import Tokenizer


def load_data(config: DataConfig) -> Splits[Images]:
    """The pictures that a config names."""
    return load_splits(
        config.name,
        config.root,
        image_size=config.image_size,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        memory_gb=config.memory_gb,
    )


def read_sentences(config: DataConfig) -> Splits[Sentences]:
    """The texts that a config names, not yet ids."""
    return load_texts(
        config.name,
        config.root,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
    )


def tokenised(splits: Splits[Sentences], tokenizer: Tokenizer) -> Splits[Texts]:
    """The same texts as ids.

    Raises:
        VitError: A text that is no Unicode.
    """

    def ids(part: Sentences) -> Texts:
        return Texts(part, [tokenizer(text) for text in part.texts], tokenizer.padding)

    test = None if splits.test is None else ids(splits.test)
    train, val = ids(splits.train), ids(splits.val)
    return Splits(train, val, test, splits.labels, splits.name, splits.skipped)


def named_data(word: str, *, texts: bool = False) -> DataConfig:
    """A dataset's name, a folder of class folders, parquet, or tables of texts -> its config.

    Args:
        word: A name or a path.
        texts: Whether a path is to texts, whatever it looks like: parquet holds either.

    Raises:
        VitError: It is none of these.
    """
    if word in DATASETS:
        return DataConfig(name=word)  # type: ignore[arg-type]
    path = Path(word)
    tables = [path] if path.is_file() else path.glob("train*")
    if path.exists() and (texts or any(file.suffix in (".tsv", ".csv", ".jsonl") for file in tables)):
        return DataConfig(name="text", root=word)
    if not path.exists():
        raise VitError(f"{word} is neither a dataset's name nor a path{nearest(word, list(DATASETS))}")
    parquet = path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))
    return DataConfig(name="parquet" if parquet else "folder", root=word)


def preprocess_for(splits: Splits[Images]) -> Preprocess:
    """Preprocessing of the training pictures: their size, and the mean and spread of their pixels."""
    height, width = splits.train.size
    mean, std = statistics(splits.train)
    return Preprocess(height, width, splits.train.channels, mean, std)


def unchanged(ids: Tensor) -> Tensor:
    """Token ids need no normalisation."""
    return ids
