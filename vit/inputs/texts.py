"""From text files and tables to batches of token ids. A text that cannot be read keeps its place."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from vit.data.readers.tables import SUFFIXES, Record, read_records
from vit.errors import VitError
from vit.inputs.files import list_files
from vit.text import Tokenizer

BATCHES_AT_ONCE = 16  # that are read together, so that texts of like length can share a forward pass


class TokenizedText(NamedTuple):
    """One text, read or not.

    Args:
        name: FILE:LINE, the path in its row.
        status: `ok`, or why it could not be read (`vit.data.readers.tables.STATUSES`).
        error: One line. Where the status is `ok` it is empty, or says how much of a long text was read.
        text: Empty where it could not be read.
        ids: int64 (N,); those of an empty text where it could not be read.
    """

    name: str
    status: str
    error: str
    text: str
    ids: Tensor


def list_texts(inputs: list[str], *, exclude: Iterable[Path] = ()) -> Iterator[Record]:
    """Every line of the .txt files, and every row of the tables, file by file in sorted order.

    Args:
        inputs: As `list_files` takes them.
        exclude: As `list_files` takes it.

    Raises:
        VitError: A file is neither a text file nor a table.
    """
    for entry in list_files(inputs, exclude=exclude):
        if entry.path.suffix.lower() not in SUFFIXES:
            raise VitError(
                f"{entry.path} is not a file of texts, expected one of {', '.join(SUFFIXES)}: this model "
                "reads texts"
            )
        yield from read_records(entry.path, entry.name)


class TextReader:
    """Tokenizes texts to batches; a context manager, as `ImageReader` is.

    Args:
        tokenizer: The model's.
        batch_size: Texts per forward pass; `batches` yields `BATCHES_AT_ONCE` times as many.
    """

    def __init__(self, tokenizer: Tokenizer, batch_size: int):
        self.tokenizer, self.batch_size = tokenizer, batch_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def batches(self, inputs: Iterable[Iterable[Any]]) -> Iterator[list[TokenizedText]]:
        """The texts in order, many at a time.

        Args:
            inputs: The fields of each `Record`.
        """
        inputs = iter(inputs)
        while batch := list(islice(inputs, self.batch_size * BATCHES_AT_ONCE)):
            yield [self._tokenize(Record(*fields)) for fields in batch]

    def _tokenize(self, record: Record) -> TokenizedText:
        pieces = self.tokenizer.pieces(record.text)
        error = record.error
        if len(pieces.ids) < pieces.total:
            error = f"cut: the first {len(pieces.ids)} of {pieces.total} tokens were read"
        return TokenizedText(record.name, record.status, error, record.text, torch.tensor(pieces.ids))
