"""Rows of JSON: an object per line, or a list of objects."""

import json
from collections.abc import Iterator
from typing import Any

from vit.data.tables.rows import Row, decoded_line
from vit.errors import VitError

MAX_ITEM = 2**26  # characters of an item of a list: a broken one must not read a file into memory


def line_values(line: bytes) -> dict[str, Any]:
    """The object on a line.

    Raises:
        VitError: It is not UTF-8, not JSON, or no object.
    """
    content = decoded_line(line)
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise VitError(f"is not JSON: {error.msg}, at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # an integer with too many digits, brackets nested too deep
        raise VitError(f"is JSON that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise VitError(f"is of type {type(row).__name__}, expected an object")
    return row


def list_rows(pieces: Iterator[str]) -> Iterator[Row]:
    """The objects of a list, one at a time.

    Args:
        pieces: The list, in pieces of any length.

    Raises:
        VitError: The list is broken; rows up to there have been yielded.
    """
    items = _Items(pieces)
    items.take("[")
    number = 0
    while not items.take("]", optional=True):
        if number:
            items.take(",")
        number += 1
        item = items.value(number)
        if isinstance(item, dict):
            yield Row(number, item, "")
        else:
            yield Row(number, {}, f"is of type {type(item).__name__}, expected an object")


class _Items:
    """Reads JSON piece by piece, so that a list of any length fits in memory."""

    def __init__(self, pieces: Iterator[str]):
        self.pieces, self.buffer, self.start = pieces, "", 0
        self.decoder = json.JSONDecoder()

    def take(self, character: str, *, optional: bool = False) -> bool:
        """Whether the next character is `character`, which is then passed."""
        found = self._next()
        if found != character:
            if optional and found:
                return False
            raise VitError(f"is not a list in JSON: {found or 'its end'!r} where {character!r} was expected")
        self.start += 1
        return True

    def value(self, number: int) -> Any:
        """The next value, which is then passed."""
        self._next()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.start)
            except (ValueError, RecursionError) as error:
                if len(self.buffer) - self.start > MAX_ITEM or not self._more():
                    message = getattr(error, "msg", error)
                    raise VitError(f"is not a list in JSON: {message}, in item {number}") from None
                continue
            if end < len(self.buffer) or not self._more():  # the next digits of a number may be to come
                self.start = end
                return value

    def _next(self) -> str:
        """The next character that is no white space; "" at the end of the file."""
        while True:
            while self.start < len(self.buffer):
                if (character := self.buffer[self.start]) not in " \t\r\n":
                    return character
                self.start += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read as much again as there is, so that a long item is not parsed too often."""
        rest = self.buffer[self.start :]
        more, length = [rest], 0
        while length <= len(rest) and (piece := next(self.pieces, None)) is not None:
            more.append(piece)
            length += len(piece)
        self.buffer, self.start = "".join(more), 0
        return length > 0
