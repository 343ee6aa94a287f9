"""What a file of rows gives: its columns, and each row's values or the reason why it cannot be read."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vit.errors import VitError, one_line_message

SURROGATE = re.compile("[\ud800-\udfff]")


class Row(NamedTuple):
    """One row of a file.

    Args:
        number: The line where it begins; of parquet and of a JSON list its position. From 1.
        values: Column -> string, and in JSON and parquet also numbers, lists and None; empty if it is broken.
        error: Why it cannot be read, one line; else "".
    """

    number: int
    values: dict[str, Any]
    error: str


@dataclass(frozen=True)
class Table:
    """An open file of rows.

    Args:
        rows: Begins to read them, once; of parquet the given columns alone, of other formats all.
        columns: In order. None: JSON, in which each row has its own.
        class_names: Column -> names of the classes that its integers stand for.
        others: Column -> type, of those that hold no strings, where the format knows it.
        is_lines: Lines of text, without a header: the file does not name the columns, which are `text` and,
            in fastText's format, `label`.
    """

    rows: Callable[[Sequence[str]], Iterator[Row]]
    columns: list[str] | None
    class_names: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    is_lines: bool = False


Numbered = Iterator[tuple[int, Any]]  # the number of a row, and its content as the file has it


def parsed(rows: Numbered, parse: Callable[[Any], dict[str, Any]]) -> Iterator[Row]:
    """Each row, parsed; where `parse` raises a `VitError`, a broken one."""
    for number, content in rows:
        try:
            yield Row(number, parse(content), "")
        except VitError as error:
            yield Row(number, {}, one_line_message(error))


def decoded_line(raw: bytes) -> str:
    """A line of UTF-8 without its end.

    Raises:
        VitError: It is not UTF-8.
    """
    return decoded(raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw)


def decoded(raw: bytes) -> str:
    """Text from UTF-8.

    Raises:
        VitError: It is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        start = error.start
        raise VitError(f"byte 0x{raw[start]:02x} at position {start + 1} is not UTF-8") from None


def require_unicode(text: str) -> str:
    """The same text.

    Raises:
        VitError: It has half of a surrogate pair, which JSON may write and UTF-8 cannot hold.
    """
    if surrogate := SURROGATE.search(text):
        raise VitError(f"a lone surrogate, U+{ord(surrogate[0]):04X}, as character {surrogate.start() + 1}")
    return text
