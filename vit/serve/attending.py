"""Maps and pages of `vit attend`, of one picture or text at a time."""

from typing import Any, NamedTuple

from torch import Tensor

from vit.attribution.explain import check_method, explain
from vit.attribution.query import parse_query
from vit.attribution.roster import METHODS
from vit.errors import UsageError, VitError
from vit.inference.attend import token_query
from vit.inference.drawing.draw import Request, class_columns
from vit.inference.drawing.texts import ExplainedText, explain_text, shortened
from vit.inference.page import view_of
from vit.inference.reading import read_image
from vit.inputs.images import DecodedImage, to_image
from vit.jobs.table import Row
from vit.serve.answers import EMPTY, REFUSED, finite_row
from vit.viewer import page

PAGE = "page"  # of a row: the viewer's, as HTML
COLUMNS = ("path", "status", "error", "label", "score", "explained", "map", "words")


class Attended(NamedTuple):
    """One input of `/attend`.

    Args:
        value: A decoded picture, or (name, text).
        request: What is to be explained.
        as_page: Whether the answer is the viewer's page instead of the map.
    """

    value: Any
    request: Request
    as_page: bool


def checked_request(
    model: Any, method: str, target: str | None, query: str, options: dict[str, Any]
) -> Request:
    """What a client asks for.

    Raises:
        VitError: A method that a server has no time for, or that does not fit the model, target or options.
    """
    if method in METHODS and not METHODS[method].quick:
        raise UsageError(f"{method} takes too long for a server: vit attend --method {method} has the time")
    check_method(model, method, target, options)
    words = model.reads == "text"
    return Request(method, target, parse_query(token_query(query) if words else query), options)


def attend_rows(model: Any, title: str, batch: list[Attended]) -> list[Row]:
    """A runner: the row of each input, or its page under the key `PAGE` besides."""
    return [_row(model, title, item) for item in batch]


def _row(model: Any, title: str, item: Attended) -> Row:
    is_picture = isinstance(item.value, DecodedImage)
    name = item.value.name if is_picture else item.value[0]
    row: Row = dict.fromkeys(COLUMNS) | {"path": name, "status": "ok", "error": ""}
    if is_picture and item.value.status != "ok":
        return row | {"status": item.value.status, "error": item.value.error}
    if not is_picture and not item.value[1].strip():
        return row | dict(zip(("status", "error"), EMPTY, strict=True))
    explained = _explained_picture if is_picture else _explained_text
    try:
        return finite_row(row | explained(model, title, item))
    except VitError as error:
        return row | {"status": REFUSED, "error": f"{name}: {error}"}


def _explained_picture(model: Any, title: str, item: Attended) -> Row:
    picture: DecodedImage = item.value
    request = item.request
    device = next(model.parameters()).device
    image = model.preprocess.normalise(picture.pixels[None].to(device))  # (1, C, height, width)
    found = explain(model, image, request.method, request.target, request.query, **request.options)
    heat = found.maps[0].cpu()  # (rows, cols)
    row = class_columns(model, found.logits, found.targets)[0] | {"map": numbers(heat)}
    if not item.as_page or not heat.isfinite().all():
        return row
    token = None
    if not isinstance(request.query, str):
        token = model.prefix + request.query[0] * heat.shape[1] + request.query[1]
    start = request.page_start(request.describe("patch"), heat, row.get("explained"))
    view = view_of(
        read_image(model, image[0], to_image(picture.pixels)),
        name=picture.name,
        caption=title,
        target=_target(request, found.targets),
        query=token,
        **start,
    )
    return row | {PAGE: page(view)}


def _explained_text(model: Any, title: str, item: Attended) -> Row:
    request, text = item.request, item.value[1]
    found: ExplainedText = explain_text(model, text, request)
    reading = found.reading
    row = class_columns(model, reading.logits[None], found.targets)[0]
    row |= {"map": numbers(found.heat), "words": list(reading.shown["tokens"])}
    if not item.as_page or not found.heat.isfinite().all():
        return row
    word = None if isinstance(request.query, str) else request.query[1]
    start = request.page_start(request.describe("word"), found.heat, row.get("explained"))
    target = _target(request, found.targets)
    view = view_of(reading, name=shortened(text), caption=title, target=target, query=word, **start)
    return row | {PAGE: page(view)}


def _target(request: Request, targets: Tensor | None) -> int | None:
    """The class that the page shows first, if one was asked for."""
    return None if request.target is None or targets is None else int(targets[0])


def numbers(values: Tensor) -> list[Any]:
    """Nested lists, with the nine digits that tell apart any two float32."""
    if values.ndim > 1:
        return [numbers(row) for row in values]
    return [float(f"{value:.9g}") for value in values.tolist()]
