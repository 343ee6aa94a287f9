"""Labelled texts: read from files, divided like pictures, and handed out as padded ids."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vit.data.images import Batch, Skipped
from vit.data.randomness import uniforms
from vit.data.readers.tables import SUFFIXES, Record, read_records
from vit.errors import VitError

# What a part's file may be called, the best first: train.tsv, dev.tsv, test.tsv.
PARTS = {"train": ("train",), "val": ("val", "dev"), "test": ("test",)}


class Sentences(NamedTuple):
    """Labelled texts as they were read.

    Args:
        texts: n strings.
        targets: int64 (n,), the class of each.
        names: FILE:LINE of each.
    """

    texts: list[str]
    targets: Tensor
    names: list[str]

    def subset(self, indices: list[int] | Tensor) -> "Sentences":
        """The texts at `indices` alone, numbered from 0."""
        where = torch.as_tensor(indices, dtype=torch.int64)
        texts, names = ([items[i] for i in where.tolist()] for items in (self.texts, self.names))
        return Sentences(texts, self.targets[where], names)


class Texts:
    """Texts as ids, in memory, with the face that pictures have: ask for indices, get a batch.

    Args:
        sentences: n texts.
        rows: n rows of ids, int64 (N,) each.
        padding: The id that fills a batch's shorter rows, on the right.
    """

    def __init__(self, sentences: Sentences, rows: Sequence[Tensor], padding: int):
        self.texts, self.targets, self.names = sentences
        self.rows = list(rows)
        self.padding = padding

    @property
    def lengths(self) -> Tensor:
        """Tokens of each text, int64 (n,)."""
        return torch.tensor([len(row) for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Ids int64 (B, N), classes (B,), and the indices themselves."""
        where = torch.as_tensor(indices, dtype=torch.int64)
        ids = torch.nn.utils.rnn.pad_sequence(
            [self.rows[i] for i in where.tolist()], batch_first=True, padding_value=self.padding
        )
        return ids, self.targets[where], where


def read_texts(root: Path) -> tuple[dict[str, Sentences], list[str], Skipped]:
    """All labelled texts of a dataset.

    Args:
        root: A file, which is all of train, or a folder with train.tsv (.csv, .jsonl, .parquet), and perhaps
            val* or dev*, and test*.

    Returns:
        The parts, the label names (the sorted labels of train), and the rows that have no text, each with
        its file and line.

    Raises:
        VitError: No such files, a broken row (with its line), a row without a label, or in another part a
            label that train has not.
    """
    files = _files(root)
    skipped: Skipped = []
    records = {part: list(_usable(read_records(file, file.name), skipped)) for part, file in files.items()}
    labels = sorted({str(record.label) for record in records["train"]})
    if len(labels) < 2:
        raise VitError(f"{files['train']} has the labels {labels}, expected at least two different ones")
    return {part: _sentences(some, labels, part) for part, some in records.items()}, labels, skipped


def _files(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {"train": root}
    names = [file for file in sorted(root.glob("*")) if file.suffix in SUFFIXES and file.suffix != ".txt"]
    files = {
        part: file
        for part, words in PARTS.items()
        for file in reversed(names)  # the first of several wins
        if file.name.startswith(words)
    }
    if "train" not in files:
        known = ", ".join(f"train{suffix}" for suffix in SUFFIXES if suffix != ".txt")
        raise VitError(f"{root} has no training texts, expected one of {known} in it")
    return files


def _usable(records: Iterable[Record], skipped: Skipped) -> Iterator[Record]:
    """The records that have a text; those without are noted in `skipped`."""
    for record in records:
        if record.status == "empty":
            skipped.append((record.name, record.error or "it is empty"))
        elif record.status != "ok":
            raise VitError(f"{record.name} {record.error}: mend or remove the line")
        elif record.label is None:
            raise VitError(f"{record.name} has no label: texts to learn from need a column label")
        else:
            yield record


def _sentences(records: list[Record], labels: list[str], part: str) -> Sentences:
    lookup = {label: index for index, label in enumerate(labels)}
    for record in records:
        if record.label not in lookup:
            known = ", ".join(labels[:10])
            raise VitError(f"{record.name} has the label {record.label!r}, which train has not ({known})")
    targets = torch.tensor([lookup[str(record.label)] for record in records], dtype=torch.int64)
    return Sentences([record.text for record in records], targets, [record.name for record in records])


class TokenMasking:
    """Word dropout (Iyyer et al. 2015): tokens taken away at random while training.

    Args:
        seed: The run's seed.
        share: Part of the tokens that goes.
        blank: The id that stands in their place.
        keep: Ids that stay, such as padding and special tokens.
    """

    def __init__(self, seed: int, share: float, blank: int, keep: Sequence[int]):
        self.seed, self.share, self.blank, self.keep = seed, share, blank, torch.tensor(list(keep))

    def __call__(self, ids: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """int64 (B, N) and indices (B,) -> ids, int64 (B, N); a function of (seed, epoch, index)."""
        if not self.share:
            return ids
        u = uniforms(self.seed, epoch, indices.to(ids.device), ids.shape[1])
        gone = (u < self.share) & ~torch.isin(ids, self.keep.to(ids.device))
        return ids.masked_fill(gone, self.blank)
