"""Files of rows of any format, streamed, plain or gzipped; UTF-8, or UTF-16 with a byte order mark."""

import codecs
import gzip
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vit.data.tables.delimited import csv_table, text_lines, tsv_table
from vit.data.tables.json_rows import line_values, list_rows
from vit.data.tables.rows import Table, parsed
from vit.errors import VitError, one_line_message

SUFFIXES = (".txt", ".tsv", ".csv", ".json", ".jsonl", ".parquet")
ACCEPTED = f"{', '.join(SUFFIXES)}, or .gz after these"

BOM = codecs.BOM_UTF8
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CHUNK = 2**16  # bytes that are decoded at once
MARKS_AND_SPACE = b"\xef\xbb\xbf\xff\xfe \t\r\n"


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case: `.csv` of `A.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] != [".parquet"]:
        suffixes.pop()
        return suffixes[-1] if suffixes else ".gz"
    return suffixes[-1] if suffixes else ""


@contextmanager
def open_table(file: Path, known: Collection[str] = ()) -> Iterator[Table]:
    r"""A file of rows, during a `with` block.

    Lines end at `\n` or `\r\n` and nowhere else.

    Args:
        file: Has one of `SUFFIXES`, in any case, and perhaps `.gz`.
        known: Names of columns that are expected: they help to tell the delimiter of CSV.

    Raises:
        VitError: Also while rows are read: no such file, another suffix, no header, or the rest of the file
            cannot be read. The message begins with the file.
    """
    try:
        with open_bytes(file) as stream:
            yield _open(file, stream, known)
    except VitError as error:
        raise VitError(f"{file} {error}") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: Arrow, and a broken UTF-16
        message = one_line_message(getattr(error, "strerror", None) or error)
        raise VitError(f"cannot read {file}: {message}; expected a file of {ACCEPTED}") from None


def _open(file: Path, stream: Any, known: Collection[str]) -> Table:
    suffix = suffix_of(file)
    if suffix not in SUFFIXES:
        raise VitError(f"has the suffix {file.suffix!r}, expected one of {ACCEPTED}")
    if suffix == ".parquet":
        from vit.data.tables.parquet_rows import parquet_table  # Arrow takes a moment to import

        return parquet_table(stream)
    if suffix == ".json" and is_list(stream):
        return Table(lambda columns: list_rows(_text(stream)), None)
    lines = _lines(stream)
    if suffix in (".json", ".jsonl"):
        return Table(lambda columns: parsed(enumerate(lines, 1), line_values), None)
    if suffix == ".csv":
        return csv_table(lines, known)
    return tsv_table(lines) if suffix == ".tsv" else text_lines(lines)


@contextmanager
def open_bytes(file: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked if its name ends in `.gz`."""
    with file.open("rb") as stream:
        yield gzip.GzipFile(fileobj=stream) if file.suffix.lower() == ".gz" else stream


def is_list(stream: Any) -> bool:
    """Whether a stream of JSON begins with a bracket; nothing is taken from it."""
    return stream.peek(256).replace(b"\0", b"").lstrip(MARKS_AND_SPACE).startswith(b"[")


def _text(stream: Any) -> Iterator[str]:
    """Unicode from UTF-8 or UTF-16, piece by piece; the mark at the start is left out."""
    encoding, errors = ("utf-16", "surrogatepass") if stream.peek(2)[:2] in UTF16 else ("utf-8-sig", "strict")
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while raw := stream.read(CHUNK):
        yield decoder.decode(raw)
    yield decoder.decode(b"", final=True)


def _lines(stream: Any) -> Iterator[bytes]:
    """Lines of UTF-8, with their ends; the mark at the start is left out."""
    first = stream.peek(len(BOM))
    if first[:2] in UTF16:
        return (line.encode("utf-8", "surrogatepass") for line in _split(_text(stream)))
    if first.startswith(BOM):
        stream.read(len(BOM))
    return iter(stream)


def _split(pieces: Iterator[str]) -> Iterator[str]:
    """Lines with their ends."""
    rest: list[str] = []
    for piece in pieces:
        *lines, last = piece.split("\n")
        for line in lines:
            yield "".join([*rest, line, "\n"])
            rest = []
        rest.append(last)
    if any(rest):
        yield "".join(rest)
