"""`splits.csv` of a run: which example is in which part, known by its content, and by its path."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from vit.atomic import write_text
from vit.data.found import Examples
from vit.errors import VitError

FILE = "splits.csv"
COLUMNS = ("part", "path", "label", "sha256")
LEARNT = ("train", "val")


class Row(NamedTuple):
    """One example of a run."""

    part: str
    path: str
    label: str
    sha256: str


class SplitRecord:
    """The parts of a run's examples.

    Args:
        rows: All examples of train, val and test.
    """

    def __init__(self, rows: Sequence[Row]):
        self.rows = list(rows)
        # An example that is in two parts counts for the first of train, val, test.
        order = {part: number for number, part in enumerate((*LEARNT, "test"))}
        ranked = sorted(self.rows, key=lambda row: order.get(row.part, 0), reverse=True)
        self._by_digest = {row.sha256: row.part for row in ranked}
        self._by_path = {row.path: row.part for row in ranked}

    def part(self, digest: str, path: str | None = None) -> str | None:
        """`train`, `val` or `test`; None: the run has not seen it.

        Args:
            digest: SHA-256 of its content, which decides.
            path: Its path, for a file whose content has changed; None: paths mean nothing (rows of a table).
        """
        return self._by_digest.get(digest) or (None if path is None else self._by_path.get(path))

    @property
    def labels(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted({row.label for row in self.rows})


def record_of(parts: Mapping[str, Examples], labels: Sequence[str]) -> SplitRecord:
    """The record of divided data.

    Args:
        parts: `train`, `val`, `test`.
        labels: Class names; empty for texts without labels.
    """
    rows = []
    for part, examples in parts.items():
        for name, digest, target in zip(examples.names, examples.digests, examples.targets, strict=True):
            rows.append(Row(part, name, _label(target, labels), digest))
    return SplitRecord(rows)


def _label(target: torch.Tensor, labels: Sequence[str]) -> str:
    """A label; of several, joined by `|`; "" where there are none."""
    if target.ndim == 0:
        return labels[int(target)] if labels else ""
    return "|".join(label for label, has in zip(labels, (target == 1).tolist(), strict=True) if has)


def write_record(folder: Path, record: SplitRecord) -> None:
    """Write `splits.csv` into a run folder, atomically."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(record.rows)
    write_text(folder / FILE, stream.getvalue().encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def read_record(folder: Path) -> SplitRecord | None:
    """The record of a run folder; None: it has none.

    Raises:
        VitError: The file is damaged: what the run has learnt from is not known then.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = [tuple(row) for row in csv.reader(stream)] or [()]
    if header != COLUMNS or any(len(row) != len(COLUMNS) or row[0] not in (*LEARNT, "test") for row in rows):
        raise VitError(f"{file} is damaged, expected the columns {', '.join(COLUMNS)}: train the run again")
    return SplitRecord([Row(*row) for row in rows])
