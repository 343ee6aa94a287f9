"""From text files and tables to batches of token ids. A text that cannot be read keeps its place."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from vit.data.tables.records import Record, read_records
from vit.data.tables.table_file import ACCEPTED, SUFFIXES, suffix_of
from vit.errors import VitError
from vit.inputs.files import Entry, list_files
from vit.text import Tokenizer

BATCHES_AT_ONCE = 16  # that are read together, so that texts of like length can share a forward pass


class TokenizedText(NamedTuple):
    """One text, read or not.

    Args:
        name: FILE:LINE, the path in its row.
        status: `ok`, or why it could not be read: docs/inference.md has them all.
        error: One line. Where the status is `ok` it is empty, or says how much of a long text was read.
        text: Empty where it could not be read.
        ids: int64 (N,); those of an empty text where it could not be read.
        kept: Values of the columns to keep; None: none are kept, or the row is broken.
    """

    name: str
    status: str
    error: str
    text: str
    ids: Tensor
    kept: list[str | None] | None = None


def list_texts(
    inputs: list[str],
    *,
    exclude: Iterable[Path] = (),
    column: str | None = None,
    keep: Sequence[str] = (),
    alone: bool | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Every line of the .txt files, and every row of the tables, file by file in sorted order.

    A file that cannot be read has one row with its status: `unsupported`, if it is no file of texts.

    Args:
        inputs: As `list_files` takes them.
        exclude: As `list_files` takes it.
        column: The column with the texts; None: a usual name.
        keep: Columns whose values the records have in `kept`.
        alone: One file is all, and an error if it cannot be read. None: where `inputs` is one file.

    Yields:
        The fields of a `Record`; without `keep` the last is left out, as in jobs of earlier versions.

    Raises:
        VitError: A file that is the only input cannot be read.
    """
    is_only = len(inputs) == 1 and os.path.isfile(inputs[0]) if alone is None else alone
    for entry in list_files(inputs, exclude=exclude):
        for record in _records(entry, column, keep, is_only=is_only):
            yield record if keep else record[:-1]


def _records(entry: Entry, column: str | None, keep: Sequence[str], *, is_only: bool) -> Iterator[Record]:
    """The records of a file; one, if it cannot be read."""
    failure = entry.failure or _failure(entry)
    if failure is None:
        try:
            yield from read_records(entry.path, entry.name, column=column, keep=keep)
        except VitError as error:
            if is_only:
                raise
            failure = "broken", str(error)
    elif is_only:
        raise VitError(f"{entry.path} {failure[1]}")
    if failure is not None:
        yield Record(entry.name, "", None, *failure)


def _failure(entry: Entry) -> tuple[str, str] | None:
    """Status and error of a file that cannot hold texts, or cannot be opened."""
    if entry.member is not None:
        return "unsupported", "is in an archive, from which texts are not read: unpack it first"
    try:
        if not stat.S_ISREG(entry.path.stat().st_mode):
            return "unsupported", "is no file"
        if suffix_of(entry.path) not in SUFFIXES:
            return (
                "unsupported",
                f"is not a file of texts, expected one of {ACCEPTED}: this model reads texts",
            )
        with entry.path.open("rb"):
            return None
    except OSError as error:
        status = {PermissionError: "permission", FileNotFoundError: "missing"}.get(type(error), "unreadable")
        return status, f"cannot be opened: {error.strerror}"


def require_tokenizer(tokenizer: Tokenizer | None) -> Tokenizer:
    """The tokenizer of a text model, its `preprocess`.

    Raises:
        VitError: It is None.
    """
    if tokenizer is None:
        raise VitError(
            "model.preprocess is None, and a text model needs its tokenizer: load it with its files, "
            "vit.load_model('hf:FOLDER'), pass it to vit.from_huggingface, or set model.preprocess "
            "to a vit.text.Tokenizer"
        )
    return tokenizer


class TextReader:
    """Tokenizes texts to batches; a context manager, as `ImageReader` is.

    Args:
        tokenizer: The model's.
        batch_size: Texts per forward pass; `batches` yields `BATCHES_AT_ONCE` times as many.

    Raises:
        VitError: There is no tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer | None, batch_size: int):
        self.tokenizer, self.batch_size = require_tokenizer(tokenizer), batch_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def batches(self, inputs: Iterable[Iterable[Any]]) -> Iterator[list[TokenizedText]]:
        """The texts in order, many at a time.

        Args:
            inputs: The fields of each `Record`; the last may be left out.
        """
        return self.read(Record(*fields) for fields in inputs)

    def read(self, records: Iterable[Record]) -> Iterator[list[TokenizedText]]:
        """As `batches`; records are taken as they are needed."""
        records = iter(records)
        while batch := list(islice(records, self.batch_size * BATCHES_AT_ONCE)):
            yield [self._tokenize(record) for record in batch]

    def _tokenize(self, record: Record) -> TokenizedText:
        pieces = self.tokenizer.pieces(record.text)
        error = record.error
        if len(pieces.ids) < pieces.total:
            error = f"cut: the first {len(pieces.ids)} of {pieces.total} tokens were read"
        ids = torch.tensor(pieces.ids)
        return TokenizedText(record.name, record.status, error, record.text, ids, record.kept)
