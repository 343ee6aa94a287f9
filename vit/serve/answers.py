"""What the model's thread computes: rows of `vit predict`, of `vit embed`, and texts made ready for them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from vit.data.formats import begins_like_a_picture, is_heif
from vit.data.tables.records import Record
from vit.inference.rows import Pipeline
from vit.inputs.decoding import Content
from vit.inputs.texts import TextReader, TokenizedText
from vit.jobs.table import Row
from vit.serve.errors import HTTP_STATUSES, Refusal

NOT_FINITE = "not_finite"
REFUSED = "refused"  # status of an input that the method, or the query, does not fit
EMPTY = ("empty", "has no text")  # status and error of a blank text, as in a file
TIFF = (b"II*\0", b"MM\0*")
RARE_FORMAT = "save it as JPEG or PNG"


def row_maker(pipeline: Pipeline) -> Callable[[list[Any]], list[Row]]:
    """A runner: decoded pictures, or (name, text), to rows."""

    def rows(batch: list[Any]) -> list[Row]:
        if pipeline.reads == "text":
            batch = tokenized(pipeline.reader, batch)
        return [finite_row(row) for row in pipeline.compute(batch)]

    return rows


def tokenized(reader: TextReader, texts: Sequence[tuple[str, str]]) -> list[TokenizedText]:
    """Texts as a reader yields them, from (name, text)."""
    records = [
        Record(name, text, None, "ok", "") if text.strip() else Record(name, "", None, *EMPTY)
        for name, text in texts
    ]
    return [item for batch in reader.read(records) for item in batch]


def finite_row(row: Row) -> Row:
    """The row itself, or one without numbers where any is NaN or infinite: JSON has no such number."""
    if _is_finite(row):
        return row
    error = (
        f"{row['path']}: the model's numbers for this input are not finite: its weights hold NaN or "
        "infinity, or it overflows; load another model"
    )
    return dict.fromkeys(row) | {"path": row["path"], "status": NOT_FINITE, "error": error}


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def refuse_unanswered(rows: Sequence[Row], inputs: Sequence[Any]) -> None:
    """Refuse a request of one input that has no answer, or whose question fits none of its inputs.

    In all others, each row has its status.

    Raises:
        Refusal: 413, 415 or 422, with the row's error.
    """
    alone = len(rows) == 1 and rows[0]["status"] != "ok"
    if not alone and any(row["status"] != REFUSED for row in rows):
        return
    path, status, error = (rows[0][column] for column in ("path", "status", "error"))
    if not error.startswith(path):
        error = f"{path} {error}"
    code, way_out = HTTP_STATUSES.get(status, 422), ""
    if status == "unreadable" and isinstance(inputs[0], Content) and is_rare(inputs[0].content):
        code, status, way_out = 415, "unsupported", f", or {RARE_FORMAT}"
    raise Refusal(code, status, f"{error}{way_out}")


def is_rare(content: bytes) -> bool:
    """Whether bytes are TIFF, AVIF or HEIF, of which no installation reads every kind."""
    container = is_heif(content) or (content[4:8] == b"ftyp" and begins_like_a_picture(content))
    return container or content.startswith(TIFF)
