"""Texts in files, row by row: plain lines, TSV, CSV, JSON lines and parquet. Every row becomes a record."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vit.data.readers.parquet import label_names
from vit.errors import VitError, one_line_message

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl", ".parquet")
TEXT_COLUMNS = ("text", "sentence", "question", "review", "content")  # the first of these that a file has
LABEL_COLUMNS = ("label", "labels", "class", "target")
STATUSES = {
    "ok": "a text, and its label where the file has labels",
    "empty": "no text, or white space alone",
    "broken": "a row that cannot be read; its error says why",
}

BOM = b"\xef\xbb\xbf"
SURROGATE = re.compile("[\ud800-\udfff]")
MAX_FIELD = 2**24  # characters of a CSV field: a quote that is never closed must not read a file into memory
TEXTS_WANTED = f"expected one of {', '.join(TEXT_COLUMNS)}"

Rows = Iterator[tuple[int, Any]]  # line or row number, from 1, and the raw content
Pair = tuple[str, str | None]  # text and label; None: the file has no labels
Parse = Callable[[Any], Pair]  # raw content -> pair; raises VitError where it is broken


class Record(NamedTuple):
    """One row of a file. Lines, rows and the positions in an error count from 1."""

    name: str  # `FILE:LINE`, the line where the row begins; of parquet `FILE:ROW`
    text: str  # as in the file, white space included; "" where the status is not `ok`
    label: str | None  # None: no label column, no label in the JSON object, or a broken row
    status: str  # one of `STATUSES`
    error: str  # one line; "" where the status is `ok`


def read_records(file: Path, name: str | None = None) -> Iterator[Record]:
    r"""Stream the rows of a file: all of them, in order.

    Lines end at `\n` or `\r\n` and nowhere else; text is UTF-8. Columns, and keys of JSON, are found by name,
    in any case: texts by `TEXT_COLUMNS` (a table's only column that is not a label may have any name), labels
    by `LABEL_COLUMNS`. In TSV a quote is a character like any other; CSV follows RFC 4180. Integer
    labels of parquet take their names from the schema's Hugging Face metadata.

    Args:
        file: A file with one of `SUFFIXES`, in any case.
        name: Prefix of the records' names; None: the path as it was given.

    Raises:
        VitError: At the first record: no such file, another suffix, no header, or no column of texts. Later:
            the rest of the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            rows, parse = _open(file.suffix.lower(), stream)
            for number, row in rows:
                yield _record(f"{file if name is None else name}:{number}", row, parse)
    except VitError as error:
        raise VitError(f"{file} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: raised by Arrow for a file that is not parquet
        message = one_line_message(getattr(error, "strerror", None) or error)
        raise VitError(f"cannot read {file}: {message}; expected a file of {', '.join(SUFFIXES)}") from None


def _record(name: str, row: Any, parse: Parse) -> Record:
    try:
        text, label = parse(row)
        if label is not None and not label.strip():
            raise VitError("has no label")
    except VitError as error:
        return Record(name, "", None, "broken", one_line_message(error))
    if not text.strip():
        return Record(name, "", label, "empty", "has no text")
    return Record(name, text, label, "ok", "")


def _open(suffix: str, stream: BufferedReader) -> tuple[Rows, Parse]:
    if suffix not in SUFFIXES:
        raise VitError(f"has the suffix {suffix!r}, expected one of {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        return _parquet(ParquetFile(stream))
    if stream.peek(len(BOM)).startswith(BOM):
        stream.read(len(BOM))
    if suffix == ".csv":
        return _table(_csv_rows(stream), _csv_fields)
    lines = enumerate(stream, 1)
    if suffix == ".tsv":
        return _table(lines, lambda line: _line(line).split("\t"))
    return lines, _from_json if suffix == ".jsonl" else lambda line: (_line(line), None)


def _table(rows: Rows, split: Callable[[bytes], list[str]]) -> tuple[Rows, Parse]:
    try:
        header = split(next(rows, (1, b""))[1])
    except VitError as error:
        raise VitError(f"has a broken header: {error}; expected the names of its columns") from None
    text, label = _columns(header)

    def parse(row: bytes) -> Pair:
        fields = split(row)
        if (count := len(fields)) != len(header):
            wanted = f"expected {len(header)}: {', '.join(header)}"
            raise VitError(f"has {count} field{'s' if count > 1 else ''}, {wanted}")
        return fields[text], None if label is None else fields[label]

    return rows, parse


def _csv_rows(stream: BufferedReader) -> Rows:
    """Each row's first line number and its bytes. A row may have many lines: `csv.reader` counts them."""
    csv.field_size_limit(MAX_FIELD)  # of the process; the default, 131,072, is less than a chapter of a book
    lines, copy = tee(stream)
    reader = csv.reader((line.decode(errors="replace") for line in copy), strict=True)
    done = 0
    while True:
        with suppress(csv.Error):  # `_csv_fields` raises it again
            next(reader, None)
        if reader.line_num == done:
            return
        yield done + 1, b"".join(islice(lines, reader.line_num - done))
        done = reader.line_num


def _csv_fields(row: bytes) -> list[str]:
    try:
        return next(csv.reader([_line(row)], strict=True)) or [""]
    except csv.Error as error:
        lines = row.removesuffix(b"\n").count(b"\n") + 1
        raise VitError(f"is not CSV: {error}, lines taken: {lines}; check the quotes") from None


def _from_json(line: bytes) -> Pair:
    content = _line(line)
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise VitError(f"is not JSON: {error.msg}, at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # an integer with too many digits, brackets nested too deep
        raise VitError(f"is JSON that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise VitError(f"is of type {type(row).__name__}, expected an object")
    keys, values = list(row), [*row.values(), None]
    text, label = _find(keys, TEXT_COLUMNS), _find(keys, LABEL_COLUMNS)
    if text is None:
        raise VitError(f"has the keys {json.dumps(keys)}, {TEXTS_WANTED}")
    text_value, label_value = values[text], values[-1 if label is None else label]
    if not isinstance(text_value, str):
        raise VitError(f"{keys[text]} is of type {type(text_value).__name__}, expected a string")
    if not isinstance(label_value, str | int | float | None):
        raise VitError(f"its label is of type {type(label_value).__name__}, expected a string or a number")
    pair = text_value, None if label_value is None else str(label_value)
    for value in pair:
        if surrogate := SURROGATE.search(value or ""):
            position = surrogate.start() + 1
            raise VitError(f"a lone surrogate, U+{ord(surrogate[0]):04X}, as character {position}")
    return pair


def _parquet(source: "ParquetFile") -> tuple[Rows, Parse]:
    import pyarrow as pa

    schema = source.schema_arrow
    text, label = _columns(schema.names)
    columns = [schema.names[index] for index in (text, label) if index is not None]
    integers = label is not None and pa.types.is_integer(schema.field(label).type)
    for name in columns[:1] if integers else columns:
        if (kind := schema.field(name).type) not in (pa.string(), pa.large_string()):
            raise VitError(f"has {kind} in its column {name}, expected strings (or integers, as labels)")
    names = label_names(schema, columns[-1]) if integers else []

    def rows() -> Iterator[tuple[bytes | None, ...]]:
        """Values as bytes: where a string is not UTF-8, its row alone is broken."""
        for batch in source.iter_batches(1024, columns=columns):
            strings = (batch.column(name).cast(pa.large_string()) for name in columns)
            yield from zip(*(column.cast(pa.large_binary()).to_pylist() for column in strings), strict=True)

    def parse(row: tuple[bytes | None, ...]) -> Pair:
        text_value, label_value = ("" if raw is None else _decode(raw) for raw in (*row, None)[:2])
        if label_value and names:
            if not 0 <= int(label_value) < len(names):
                raise VitError(f"has the label {label_value}, expected 0 to {len(names) - 1}")
            label_value = names[int(label_value)]
        return text_value, None if label is None else label_value

    return enumerate(rows(), 1), parse


def _line(raw: bytes) -> str:
    return _decode(raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        start = error.start
        raise VitError(f"byte 0x{raw[start]:02x} at position {start + 1} is not UTF-8") from None


def _columns(names: list[str]) -> tuple[int, int | None]:
    """The indices of the text column and of the label column."""
    if not any(name.strip() for name in names):
        raise VitError(f"has an empty header, {TEXTS_WANTED}")
    text, label = _find(names, TEXT_COLUMNS), _find(names, LABEL_COLUMNS)
    others = [index for index, name in enumerate(names) if _find([name], LABEL_COLUMNS) is None]
    if text is None and len(others) != 1:
        raise VitError(f"has the columns {names}, {TEXTS_WANTED}")
    return others[0] if text is None else text, label


def _find(names: list[str], known: tuple[str, ...]) -> int | None:
    """The index of the first known name; None: there is none."""
    plain = [name.strip().lower() for name in names]
    return next((plain.index(name) for name in known if name in plain), None)
