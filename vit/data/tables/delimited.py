"""Lines of text, TSV and CSV."""

import csv
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import chain, islice, tee
from typing import Any

from vit.data.tables.columns import plain
from vit.data.tables.rows import Numbered, Table, decoded_line, parsed
from vit.errors import VitError

DELIMITERS = (",", ";", "\t", "|")  # of .csv; the first wins a tie
FASTTEXT = "__label__"  # begins each label of a line in fastText's format
MAX_FIELD = 2**24  # characters of a CSV field: a quote that is never closed must not read a file into memory

Split = Callable[[bytes], list[str]]


def text_lines(lines: Iterator[bytes]) -> Table:
    """Lines of text; in fastText's format if the first begins with a label."""
    first = next(lines, None)
    lines = lines if first is None else chain([first], lines)
    labelled = first is not None and first.startswith(FASTTEXT.encode())
    parse = _fasttext if labelled else lambda raw: {"text": decoded_line(raw)}
    columns = ["text", "label"] if labelled else ["text"]
    return Table(lambda _: parsed(enumerate(lines, 1), parse), columns, is_lines=True)


def _fasttext(raw: bytes) -> dict[str, Any]:
    """`__label__a __label__b a text`."""
    text, labels = decoded_line(raw), []
    while text.startswith(FASTTEXT):
        label, _, text = text.partition(" ")
        labels.append(label.removeprefix(FASTTEXT))
        text = text.lstrip(" ")
    return {"text": text, "label": labels}


def tsv_table(lines: Iterator[bytes]) -> Table:
    """Fields between tabs; a quote is a character like any other."""
    return _table(enumerate(lines, 1), lambda line: decoded_line(line).split("\t"))


def csv_table(lines: Iterator[bytes], known: Collection[str]) -> Table:
    """CSV as in RFC 4180, with another delimiter if the header has it.

    Args:
        lines: Of UTF-8, with their ends.
        known: Names of columns that are expected: they help to tell the delimiter.

    Raises:
        VitError: The header cannot be read, or is empty.
    """
    first = next(lines, b"")
    delimiter = _delimiter(first, {plain(name) for name in known})
    rows = _csv_rows(chain([first], lines) if first else iter(()), delimiter)
    return _table(rows, lambda row: _csv_fields(row, delimiter))


def _delimiter(header: bytes, known: set[str]) -> str:
    """The one by which the header has most of the known names, and then most fields."""

    def fit(delimiter: str) -> tuple[int, int]:
        line = header.decode(errors="replace").rstrip("\r\n")
        with suppress(csv.Error, StopIteration):
            names = next(csv.reader([line], delimiter=delimiter))
            return len(known & {plain(name) for name in names}), len(names)
        return 0, 0

    return max(DELIMITERS, key=fit)


def _table(rows: Numbered, split: Split) -> Table:
    try:
        header = split(next(rows, (1, b""))[1])
    except VitError as error:
        raise VitError(f"has a broken header: {error}; expected the names of its columns") from None
    if not any(name.strip() for name in header):
        raise VitError("has an empty header, expected the names of its columns")

    def parse(row: bytes) -> dict[str, Any]:
        fields = split(row)
        if (count := len(fields)) != len(header):
            wanted = f"expected {len(header)}: {', '.join(header)}"
            raise VitError(f"has {count} field{'s' if count > 1 else ''}, {wanted}")
        # Reversed: of two columns with one name the first is read.
        return dict(zip(reversed(header), reversed(fields), strict=True))

    return Table(lambda columns: parsed(rows, parse), header)


def _csv_rows(stream: Iterator[bytes], delimiter: str) -> Numbered:
    """Each row's first line number and its bytes. A row may have many lines: `csv.reader` counts them."""
    csv.field_size_limit(MAX_FIELD)  # of the process; the default, 131,072, is less than a chapter of a book
    lines, copy = tee(stream)
    decoded = (line.decode(errors="replace") for line in copy)
    reader = csv.reader(decoded, delimiter=delimiter, strict=True)
    done = 0
    while True:
        with suppress(csv.Error):  # `_csv_fields` raises it again
            next(reader, None)
        if reader.line_num == done:
            return
        yield done + 1, b"".join(islice(lines, reader.line_num - done))
        done = reader.line_num


def _csv_fields(row: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([decoded_line(row)], delimiter=delimiter, strict=True)) or [""]
    except csv.Error as error:
        lines = row.removesuffix(b"\n").count(b"\n") + 1
        raise VitError(f"is not CSV: {error}, lines taken: {lines}; check the quotes") from None
