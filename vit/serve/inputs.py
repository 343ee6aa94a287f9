"""From the body of a request to pictures or texts. A body is bytes and text, no path, URL or pickle."""

from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vit.errors import one_line_message
from vit.inputs.decoding import Content
from vit.serve.errors import Refusal
from vit.serve.settings import Settings

LONGEST_NAME = 255  # characters of a file's name that are kept
FORM, JSON, TEXT = "multipart/form-data", "application/json", "text/plain"
ONE_PICTURE = ("application/octet-stream", "image/")  # beginnings of what a body of one picture is called


async def read_pictures(request: Request, settings: Settings) -> list[Content]:
    """The files of a form, or the picture that is the body, with their names.

    Raises:
        Refusal: It is something else, has none, or too many.
    """
    kind = _kind(request)
    if kind == FORM:
        files = await _files(request, settings)
        if not files:
            raise Refusal(422, "no_inputs", "the form has no files: send pictures in fields named files")
        return files
    if kind.startswith(ONE_PICTURE):
        content = await request.body()
        if not content:
            raise Refusal(422, "no_inputs", "the body is empty, expected the bytes of a picture")
        return [Content("picture", content)]
    raise Refusal(
        415,
        "content_type",
        f"{_described(kind)}, and this model reads pictures: send a form ({FORM}) with fields named files, "
        "or the bytes of one picture as application/octet-stream",
    )


async def read_texts(request: Request, texts: type[BaseModel]) -> list[str]:
    """The texts of a JSON body, or the text that is the body, in UTF-8.

    Args:
        request: The request.
        texts: The model of a JSON body (`vit.serve.schemas.texts_model`), which has the limits.

    Raises:
        Refusal: It is something else, has none, too many, or one that is too long.
    """
    kind, body = _kind(request), await request.body()
    try:
        if kind == JSON:
            found: Any = texts.model_validate_json(body)
        elif kind == TEXT:
            found = texts.model_validate({"texts": [body.decode()]})
        else:
            raise Refusal(
                415,
                "content_type",
                f'{_described(kind)}, and this model reads texts: send {JSON}, {{"texts": ["..."]}}, or one '
                f"text as {TEXT}",
            )
    except UnicodeDecodeError as error:
        raise Refusal(
            422, "invalid", f"the text is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    except ValidationError as error:
        raise Refusal(422, "invalid", in_words(error.errors(include_url=False))) from None
    return found.texts


def in_words(problems: Any) -> str:
    """The first of pydantic's errors as one line, without the value, which may be anything."""
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return one_line_message(f"{place or 'the body'}: {first['msg']}{more}")


async def _files(request: Request, settings: Settings) -> list[Content]:
    """Every part with a file's name, whatever its field is called. Nothing is written to disk."""
    parser = MultiPartParser(
        Headers(scope=request.scope), _stream(request), max_files=settings.max_inputs, max_fields=16
    )
    parser.spool_max_size = settings.max_bytes + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        too_many = "Too many" in error.message
        code = "too_many" if too_many else "form"
        raise Refusal(422, code, _about(error.message, settings)) from None
    except ValueError as error:  # a charset that is none of text, a boundary that cannot be
        raise Refusal(422, "form", f"the form cannot be read: {one_line_message(error)}") from None
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [Content(_clean(upload.filename), await upload.read()) for upload in uploads]
    finally:
        await form.close()


async def _stream(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk


def _about(message: str, settings: Settings) -> str:
    if "files" in message:
        return f"the form has more than {settings.max_inputs} files: send several requests"
    return f"the form cannot be read: {one_line_message(message)}"


def _clean(name: str | None) -> str:
    """A file's name as it may stand in JSON: a label, which nothing opens."""
    printable = "".join(char if char.isprintable() else "\ufffd" for char in name or "")
    return printable[:LONGEST_NAME] or "picture"


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _described(kind: str) -> str:
    if not kind.isascii() or not kind:
        return "the request has no content type that is known"
    return f"the request is {kind[:100]}"
