"""Refusals: what a client gets instead of an answer, always in one shape."""

import json
from collections.abc import Mapping
from typing import Any

# The HTTP status of an input that has no answer, by the status of its row; any other: 422.
HTTP_STATUSES = {"unsupported": 415, "not_an_image": 415, "too_large": 413}
RETRY_AFTER = {"retry-after": "1"}  # seconds; a queue is shorter by then


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        code: A word for programs: the status of a row, or what the request lacks.
        message: One line for people, with the way out.
        headers: Further ones of the answer, plain ASCII.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """`{"error": {"code", "message"}}` as JSON."""
        return json.dumps(self.content()).encode("ascii")

    def content(self) -> dict[str, Any]:
        """As `body`, not yet encoded."""
        return {"error": {"code": self.code, "message": self.message}}


def overloaded(what: str) -> Refusal:
    """503: the server has no room for this request now."""
    return Refusal(503, "overloaded", f"{what}: send it again in a second", RETRY_AFTER)
