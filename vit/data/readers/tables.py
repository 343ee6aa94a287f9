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
from vit.errors import VitError

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
LONE = re.compile("[\ud800-\udfff]")
LONGEST = 2**24  # characters in a field of CSV: a quote that is never closed must not read a file into memory
TEXTS_WANTED = f"expected one of {', '.join(TEXT_COLUMNS)}"

Rows = Iterator[tuple[int, Any]]  # the place of each row, from 1, and its content, raw
Pair = tuple[str, str | None]  # text and label, None where there are no labels
Parse = Callable[[Any], Pair]  # of a raw row; raises VitError where it is broken


class Record(NamedTuple):
    """One row of a file. Lines, rows and the positions in an error count from 1."""

    name: str  # `FILE:LINE`, the line where the row begins; of parquet `FILE:ROW`
    text: str  # as the file has it, white space included; "" where the status is not `ok`
    label: str | None  # None: no label column, no label in the JSON object, or a broken row
    status: str  # one of `STATUSES`
    error: str  # one line; "" where the status is `ok`


def read_records(file: Path, name: str | None = None) -> Iterator[Record]:
    r"""Stream the rows of a file, in order, none left out.

    Lines end at `\n` or `\r\n` and nowhere else; text is UTF-8. Columns, and keys of JSON, go by name, in any
    case: texts by one of `TEXT_COLUMNS` (a table's only column that is not a label may have any name), labels
    by one of `LABEL_COLUMNS`. In TSV a quote is a character like any other; CSV follows RFC 4180. Integer
    labels of parquet take their names from the schema's Hugging Face metadata.

    Args:
        file: A file with one of `SUFFIXES`, in any case.
        name: What the records' names begin with; None: the path as it was given.

    Raises:
        VitError: When the first record is asked for: no such file, another suffix, no header, or no column
            of texts. Later: the file cannot be read on.
    """
    try:
        with file.open("rb") as stream:
            rows, parse = _open(file.suffix.lower(), stream)
            for place, row in rows:
                yield _record(f"{file if name is None else name}:{place}", row, parse)
    except VitError as error:
        raise VitError(f"{file} {error}") from None
    except (OSError, ValueError) as error:  # ValueError: of Arrow, about a file that is no parquet
        said = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise VitError(f"cannot read {file}: {said}; expected a file of {', '.join(SUFFIXES)}") from None


def _record(name: str, row: Any, parse: Parse) -> Record:
    try:
        text, label = parse(row)
        if label is not None and not label.strip():
            raise VitError("has no label")
    except VitError as error:
        return Record(name, "", None, "broken", " ".join(str(error).split()))
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
    """Each row's first line and its bytes. A row may take many lines, and a reader knows how many."""
    csv.field_size_limit(LONGEST)  # for the process; it begins at 131,072, less than a chapter of a book
    lines, same = tee(stream)
    reader = csv.reader((line.decode(errors="replace") for line in same), strict=True)
    done = 0
    while True:
        with suppress(csv.Error):  # it comes again in `_csv_fields`
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
        raise VitError(f"is no CSV: {error}, lines taken: {lines}; check the quotes") from None


def _from_json(line: bytes) -> Pair:
    content = _line(line)
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise VitError(f"is no JSON: {error.msg}, at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # an integer of too many digits, brackets too deep
        raise VitError(f"is JSON that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise VitError(f"is of type {type(row).__name__}, expected an object")
    keys, values = list(row), [*row.values(), None]
    text, label = _find(keys, TEXT_COLUMNS), _find(keys, LABEL_COLUMNS)
    if text is None:
        raise VitError(f"has the keys {json.dumps(keys)}, {TEXTS_WANTED}")
    found, named = values[text], values[-1 if label is None else label]
    if not isinstance(found, str):
        raise VitError(f"{keys[text]} is of type {type(found).__name__}, expected a string")
    if not isinstance(named, str | int | float | None):
        raise VitError(f"its label is of type {type(named).__name__}, expected a string or a number")
    pair = found, None if named is None else str(named)
    for value in pair:
        if odd := LONE.search(value or ""):
            raise VitError(f"a lone surrogate, U+{ord(odd[0]):04X}, as character {odd.start() + 1}")
    return pair


def _parquet(source: "ParquetFile") -> tuple[Rows, Parse]:
    import pyarrow as pa

    schema = source.schema_arrow
    text, label = _columns(schema.names)
    wanted = [schema.names[place] for place in (text, label) if place is not None]
    integers = label is not None and pa.types.is_integer(schema.field(label).type)
    for name in wanted[:1] if integers else wanted:
        if (kind := schema.field(name).type) not in (pa.string(), pa.large_string()):
            raise VitError(f"has {kind} in its column {name}, expected strings (or integers, as labels)")
    names = label_names(schema, wanted[-1]) if integers else []

    def rows() -> Iterator[tuple[bytes | None, ...]]:
        """Values as bytes, since strings need not be UTF-8, and then their row alone is broken."""
        for batch in source.iter_batches(1024, columns=wanted):
            columns = (batch.column(name).cast(pa.large_string()) for name in wanted)
            yield from zip(*(column.cast(pa.large_binary()).to_pylist() for column in columns), strict=True)

    def parse(row: tuple[bytes | None, ...]) -> Pair:
        found, named = ("" if raw is None else _decode(raw) for raw in (*row, None)[:2])
        if named and names:
            if not 0 <= int(named) < len(names):
                raise VitError(f"has the label {named}, expected 0 to {len(names) - 1}")
            named = names[int(named)]
        return found, None if label is None else named

    return enumerate(rows(), 1), parse


def _line(raw: bytes) -> str:
    return _decode(raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        place = error.start
        raise VitError(f"byte 0x{raw[place]:02x} at position {place + 1} is not UTF-8") from None


def _columns(names: list[str]) -> tuple[int, int | None]:
    """The places of the texts and of the labels."""
    if not any(name.strip() for name in names):
        raise VitError(f"has an empty header, {TEXTS_WANTED}")
    text, label = _find(names, TEXT_COLUMNS), _find(names, LABEL_COLUMNS)
    others = [place for place, name in enumerate(names) if _find([name], LABEL_COLUMNS) is None]
    if text is None and len(others) != 1:
        raise VitError(f"has the columns {names}, {TEXTS_WANTED}")
    return others[0] if text is None else text, label


def _find(names: list[str], known: tuple[str, ...]) -> int | None:
    plain = [name.strip().lower() for name in names]
    return next((plain.index(name) for name in known if name in plain), None)
