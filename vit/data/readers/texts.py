"""Datasets of labelled texts: one table per split, or one table that is divided."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from vit.data.images import Skipped
from vit.data.readers.tables import SUFFIXES, Record, read_records
from vit.data.roster import SPLITS
from vit.data.texts import RawTexts
from vit.errors import VitError

TABLES = tuple(suffix for suffix in SUFFIXES if suffix != ".txt")  # .txt has no labels


def read_texts(root: Path) -> tuple[dict[str, RawTexts], list[str], Skipped]:
    """All labelled texts of a dataset.

    Args:
        root: A file, which is all of train, or a folder with train.tsv (.csv, .jsonl, .parquet), and perhaps
            val* or dev*, and test*.

    Returns:
        The splits, the label names (the sorted labels of train), and the rows that have no text, each with
        its file and line.

    Raises:
        VitError: No such files, a broken row (with its line), a row without a label, or a label of another
            split that train does not have.
    """
    files = _files(root)
    skipped: Skipped = []
    records = {split: list(_usable(read_records(file, file.name), skipped)) for split, file in files.items()}
    labels = sorted({str(record.label) for record in records["train"]})
    if len(labels) < 2:
        raise VitError(f"{files['train']} has the labels {labels}, expected at least two different ones")
    return {split: _raw_texts(usable, labels) for split, usable in records.items()}, labels, skipped


def _files(root: Path) -> dict[str, Path]:
    """The file of each split; of several, the first in sorted order."""
    if root.is_file():
        return {"train": root}
    files = {
        split: file
        for split, prefixes in SPLITS.items()
        for file in sorted(root.glob("*"), reverse=True)  # the last one assigned stays
        if file.suffix in TABLES and file.name.startswith(prefixes)
    }
    if "train" not in files:
        known = ", ".join(f"train{suffix}" for suffix in TABLES)
        raise VitError(f"{root} has no training texts, expected one of {known} in it")
    return files


def _usable(records: Iterable[Record], skipped: Skipped) -> Iterator[Record]:
    """The records that have a text; those without are added to `skipped`."""
    for record in records:
        if record.status == "empty":
            skipped.append((record.name, record.error or "it is empty"))
        elif record.status != "ok":
            raise VitError(f"{record.name} {record.error}: fix or remove the line")
        elif record.label is None:
            raise VitError(f"{record.name} has no label: training texts need a column label")
        else:
            yield record


def _raw_texts(records: list[Record], labels: list[str]) -> RawTexts:
    classes = {label: index for index, label in enumerate(labels)}
    for record in records:
        if record.label not in classes:
            known = ", ".join(labels[:10])
            raise VitError(
                f"{record.name} has the label {record.label!r}, which train does not have ({known})"
            )
    targets = torch.tensor([classes[str(record.label)] for record in records], dtype=torch.int64)
    return RawTexts([record.text for record in records], targets, [record.name for record in records])
