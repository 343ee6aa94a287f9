"""What a model reads, from an input word to a batch and what the model makes of it: pictures or texts."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from vit.data.readers.tables import SUFFIXES, Record, read_records
from vit.errors import VitError
from vit.inputs.archives import Member
from vit.inputs.decoding import USUAL, Limits, decoder
from vit.inputs.files import Entry, list_files
from vit.inputs.images import Picture, read_batches
from vit.text import TextTransformer, padded
from vit.towers import Tower
from vit.vision import VisionTransformer

TOGETHER = 16  # batches of texts that are read at once, to be sorted by length

# Patches in a forward pass on a CPU. Larger tensors leave its caches, and above 32 MB each takes new pages
# (docs/performance.md has the measurement).
CPU_TOKENS = 4096


class PictureReader:
    """One entry per file; a context manager, with processes that decode.

    Args:
        model: In eval mode, with `preprocess`.
        batch_size: Pictures that are decoded together; per forward pass, but for a model on the CPU, whose
            passes hold at most `CPU_TOKENS` patches.
        limits: Of each picture's decoding.
    """

    def __init__(self, model: VisionTransformer, batch_size: int, limits: Limits = USUAL):
        self.model, self.batch_size, self.limits = model, batch_size, limits
        self.device = next(model.parameters()).device
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self.decoding = self._held.enter_context(decoder(self.model.preprocess, self.limits))
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def entries(self, inputs: list[str], *, without: Iterable[Path] = ()) -> Iterator[Entry]:
        """Every file that the inputs stand for, sorted (`list_files`)."""
        return list_files(inputs, without=without)

    def restored(self, entries: Iterable[list[Any]]) -> Iterator[Entry]:
        """Entries from their fields."""
        return (
            Entry(name, Path(path), member and Member(*member), trouble and (trouble[0], trouble[1]))
            for name, path, member, trouble in entries
        )

    def batches(self, entries: Iterable[Any]) -> Iterator[list[Picture]]:
        """The pictures, decoded; one that cannot be keeps its place."""
        return read_batches(entries, self.decoding, self.batch_size, device=self.device)

    def run(self, batch: list[Picture]) -> Tensor:
        """What the model makes of a batch, (B, ...), on the CPU."""
        pixels = torch.stack([picture.pixels for picture in batch])
        rows, cols = self.model.grid(pixels)
        per_pass = max(1, CPU_TOKENS // (rows * cols)) if self.device.type == "cpu" else len(pixels)
        normalise = self.model.preprocess.normalise
        return torch.cat(
            [self.model(normalise(part.to(self.device))).cpu() for part in pixels.split(per_pass)]
        )


class Passage(NamedTuple):
    """One text, read or not.

    Args:
        name: FILE:LINE.
        status: `ok`, or why it could not be read (`vit.data.readers.tables.STATUSES`).
        error: One line; with `ok` it is empty, or says how much of a long text was read.
        text: Empty where it could not be read.
        ids: int64 (N,); of the empty text where it could not be read.
    """

    name: str
    status: str
    error: str
    text: str
    ids: Tensor


class TextReader:
    """One entry per line of a `.txt` file, and per row of a table; a context manager, like that of pictures.

    Args:
        model: In eval mode, with `preprocess`.
        batch_size: Texts per forward pass.
    """

    def __init__(self, model: TextTransformer, batch_size: int):
        self.model, self.batch_size = model, batch_size
        self.device = next(model.parameters()).device

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def entries(self, inputs: list[str], *, without: Iterable[Path] = ()) -> Iterator[Any]:
        """Every text of every file that the inputs stand for, file by file in sorted order.

        Raises:
            VitError: A file is no text or table.
        """
        for entry in list_files(inputs, without=without):
            if entry.path.suffix.lower() not in SUFFIXES:
                raise VitError(
                    f"{entry.path} is no file of texts, expected one of {', '.join(SUFFIXES)}: this model "
                    "reads texts"
                )
            yield from read_records(entry.path, entry.name)

    def restored(self, entries: Iterable[list[Any]]) -> Iterator[Record]:
        """Entries from their fields."""
        return (Record(*fields) for fields in entries)

    def batches(self, entries: Iterable[Any]) -> Iterator[list[Passage]]:
        """The texts as ids, many at once, so that texts of like length can run together."""
        entries = iter(entries)
        while some := list(islice(entries, self.batch_size * TOGETHER)):
            yield [self.passage(*record) for record in some]

    def passage(self, name: str, text: str, label: str | None, status: str, error: str) -> Passage:
        """A record as ids."""
        pieces = self.model.preprocess.pieces(text)
        if len(pieces.ids) < pieces.total:
            error = f"cut: the first {len(pieces.ids)} of {pieces.total} tokens were read"
        return Passage(name, status, error, text, torch.tensor(pieces.ids))

    def run(self, batch: list[Passage]) -> Tensor:
        """What the model makes of the texts, (B, ...), on the CPU; like lengths run together."""
        order = sorted(range(len(batch)), key=lambda place: len(batch[place].ids))
        parts = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        found = [
            self.model(padded([batch[place].ids for place in part], self.model.padding).to(self.device)).cpu()
            for part in parts
        ]
        back = torch.tensor(order).argsort()
        return torch.cat(found)[back]


def reader_for(model: Tower, batch_size: int, limits: Limits = USUAL) -> PictureReader | TextReader:
    """The reader of a model's kind of input; texts have no limits, being cut to the model's length."""
    if isinstance(model, TextTransformer):
        return TextReader(model, batch_size)
    return PictureReader(model, batch_size, limits)


def same_inputs(inputs: list[str]) -> list[str]:
    """The inputs as a command remembers them, to tell whether it is continued."""
    return [word if word == "-" else os.path.abspath(word) for word in inputs]
