"""From a config, or from a name or path, to data: read, divided, and as the model needs them."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.config import DataConfig, nearest
from vit.data.datasets import load
from vit.data.found import ReadOptions
from vit.data.images import Images, statistics
from vit.data.preprocess import Preprocess
from vit.data.roster import FOUND_BY_NAME, Kind
from vit.data.splits.division import Splits
from vit.data.splits.record import SplitRecord
from vit.data.texts import RawTexts, TokenizedTexts
from vit.data.windows import NextTokens
from vit.errors import VitError
from vit.text import Tokenizer

UNCUT = 2**31 - 1  # tokens: a language model reads a long text in windows

# Fields of `ReadOptions` that a config has under the same name.
READING = (
    "resize", "memory_gb", "cache", "input_column", "label_column", "label_separator", "label_columns",
)  # fmt: skip


def load_data(
    config: DataConfig, record: SplitRecord | None = None, preprocess: Preprocess | None = None
) -> Splits[Any]:
    """The dataset of a config: `Splits[Images]`, or `Splits[RawTexts]`, not yet tokenized.

    Args:
        config: The data section.
        record: Of the run that is continued.
        preprocess: Of a model to start from, which sees its own pixels; None: what the config says.

    Raises:
        VitError: The name is unknown, the data are missing or broken, or there are too few to train on.
    """
    return load(
        config.name,
        config.root,
        image_size=config.image_size,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        group=config.group,
        record=record,
        preprocess=preprocess,
        **{name: getattr(config, name) for name in READING},
    )


def read_options(config: DataConfig, preprocess: Preprocess | None) -> ReadOptions:
    """How the data of a config are read for a model.

    Args:
        config: The data section.
        preprocess: Of an image model, which sees its own pixels; None: texts.
    """
    options = {name: getattr(config, name) for name in READING}
    return ReadOptions(**options, preprocess=preprocess)


def tokenised(texts: RawTexts, tokenizer: Tokenizer) -> TokenizedTexts:
    """The same texts as token ids.

    Raises:
        VitError: A text is not Unicode.
    """
    return TokenizedTexts(texts, [tokenizer(text) for text in texts.texts], tokenizer.padding)


def tokenised_splits(splits: Splits[RawTexts], tokenizer: Tokenizer) -> Splits[TokenizedTexts]:
    """All parts of a dataset as token ids."""
    train, val, test, new = (
        None if part is None else tokenised(part, tokenizer)
        for part in (splits.train, splits.val, splits.test, splits.new)
    )
    assert train is not None
    assert val is not None
    return Splits(train, val, test, splits.labels, splits.name, splits.skipped, splits.notes, new)


def next_tokens(texts: RawTexts, tokenizer: Tokenizer, ends: Sequence[int], length: int) -> NextTokens:
    """The same texts as a language model predicts them, each with a token before it and one that ends it.

    Args:
        texts: n texts.
        tokenizer: What it puts after a text is left out. Where it puts nothing before a text, the token that
            ends texts stands there (GPT-2).
        ends: Ids that end a text; the first is the one to be predicted.
        length: Most tokens that the model reads.

    Raises:
        VitError: There is no token that ends a text, or a text is not Unicode.
    """
    if not ends:
        raise VitError("the model does not say which token ends a text, so that its texts cannot be measured")
    words = tokenizer.pieces("a").words
    before, after = (len(list(takewhile(lambda word: word is None, side))) for side in (words, words[::-1]))
    whole, start, end = (
        tokenizer.cut(UNCUT),
        torch.tensor([] if before else ends[:1]).long(),
        torch.tensor(ends[:1]),
    )
    ids = (whole(text) for text in texts.texts)
    return NextTokens(
        texts, [torch.cat([start, row[: len(row) - after], end]) for row in ids], length, tokenizer.padding
    )


def named_data(name_or_path: str, reads: Kind | None = None, *, labelled: bool = True) -> DataConfig:
    """The config of a dataset's name, a folder of class folders, a manifest, parquet, or tables of texts.

    Args:
        name_or_path: What a command line names.
        reads: What a path holds, whatever it looks like: a table may list images or hold texts. None: what it
            looks like.
        labelled: False: a path holds texts whose labels, if there are any, do not matter.

    Raises:
        VitError: It is none of these.
    """
    if name_or_path in FOUND_BY_NAME:
        return DataConfig(name=name_or_path)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        hint = nearest(name_or_path, list(FOUND_BY_NAME))
        raise VitError(f"{name_or_path} is neither a dataset's name nor a path{hint}")
    if not labelled:
        return DataConfig(name="lines", root=name_or_path)
    return DataConfig(name="text" if reads == "text" else _format(path, reads), root=name_or_path)


def _format(path: Path, reads: Kind | None) -> str:
    """The format of data at a path, from what is in it."""
    from vit.data.listing.manifest import find_manifest
    from vit.data.readers.parquet import parquet_files
    from vit.data.readers.texts import holds_texts

    if find_manifest(path) is not None:
        return "folder"
    if reads is None and holds_texts(path):
        return "text"
    return "parquet" if parquet_files(path) else "folder"


def preprocess_for(splits: Splits[Images], resize: str = "crop") -> Preprocess:
    """Preprocessing for the training images: their size, and the mean and deviation of their pixels."""
    height, width = splits.train.size
    mean, std = statistics(splits.train)
    return Preprocess(height, width, splits.train.channels, mean, std, resize=resize)


def unchanged(ids: Tensor) -> Tensor:
    """Token ids need no normalisation."""
    return ids
