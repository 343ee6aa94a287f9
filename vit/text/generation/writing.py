"""From new ids to text as it grows: whole characters, up to the first stop word."""

from collections.abc import Callable, Sequence

INCOMPLETE = "\ufffd"  # what a tokenizer decodes a part of a character to


class Writing:
    """The text of one row.

    A token may hold a part of a character, and a stop word may span several tokens. What may still change is
    held back until it cannot, so pieces that were given out are never taken back.

    Args:
        decode: Ids of the prompt's continuation -> text.
        ends: Ids that end a text.
        stop: Words that end a text; they are no part of it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], ends: Sequence[int], stop: Sequence[str]):
        self.decode, self.ends, self.stop = decode, ends, stop
        self.ids: list[int] = []
        self.given = ""  # what `take` has given out
        self.ready = ""  # what is certain
        self.text = ""  # everything

    def add(self, token: int) -> bool:
        """Take the next token; whether the text has ended."""
        ended = token in self.ends
        if not ended:
            self.ids.append(token)
            self.text = self.decode(self.ids)
        found = [place for word in self.stop if (place := self.text.find(word)) >= 0]
        if found:
            self.text = self.text[: min(found)]
        if ended or found:
            self.finish()
            return True
        certain = self.text.rstrip(INCOMPLETE)
        self.ready = certain[: len(certain) - _begun(certain, self.stop)]
        return False

    def finish(self) -> None:
        """No more tokens come: everything is certain."""
        self.ready = self.text

    def take(self) -> str:
        """What is certain and was not given out yet."""
        piece = self.ready[len(self.given) :]
        self.given += piece
        return piece


def _begun(text: str, stop: Sequence[str]) -> int:
    """Characters at the end of the text that may become a stop word."""
    longest = max(map(len, stop), default=0)
    return next(
        (
            size
            for size in range(min(longest - 1, len(text)), 0, -1)
            if any(word.startswith(text[-size:]) for word in stop)
        ),
        0,
    )
