"""What counts as an input of `vit.predict` and `vit.embed`; nothing is read before its turn."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vit.api.arrays import picture_of_array, picture_of_tensor
from vit.api.paths import found, is_folder, require_path
from vit.data.preprocess import Preprocess
from vit.data.tables.records import Record
from vit.data.tables.rows import require_unicode
from vit.data.tables.table_file import SUFFIXES, suffix_of
from vit.errors import VitError, one_line_message
from vit.inputs.decoding import Content
from vit.inputs.files import Entry, list_files
from vit.inputs.images import DecodedImage, image_in_memory
from vit.inputs.texts import list_texts

Example = Entry | Content | DecodedImage  # what `ImageReader.read` takes

PICTURES = "a path, a PIL picture, an array, the bytes of a file, or a tensor"
TEXTS = "a str, which is a text, or a pathlib.Path, which is a file of texts"
LONGEST_NAME = 255  # of a file, in characters


def pictures(inputs: Any, preprocess: Preprocess) -> Iterator[Example]:
    """The pictures of `inputs`, in order; those of a folder sorted.

    Args:
        inputs: One input, or an iterable of them: paths of files, folders, archives and glob patterns; PIL
            pictures; arrays and tensors, as in `vit.api.arrays`; the bytes of files; files open in binary
            mode.
        preprocess: The model's.

    Raises:
        VitError: `inputs` is something else, or one path that does not exist. On the way: an input is none of
            these. One that cannot be read is no error, but an example with a status.
    """

    def listing(path: str) -> Iterable[Entry]:
        return list_files([path]) if is_folder(path) else [Entry(path, Path(path))]

    def examples(number: int, item: Any, is_only: bool) -> Iterator[Example]:
        if isinstance(item, (str, os.PathLike)):
            return found(os.fspath(item), listing, is_only=is_only)
        return iter([_in_memory(str(number), item, preprocess)])

    if isinstance(inputs, (str, os.PathLike)):
        return iter(list_files([require_path(inputs)]))
    return _each(_stream(inputs, PICTURES), examples)


def texts(inputs: Any, column: str | None, keep: Sequence[str]) -> Iterator[Record]:
    """The texts of `inputs`, in order.

    Args:
        inputs: One input, or an iterable of them: a str is a text; a `pathlib.Path` is a file of texts, a
            folder of such files, or a glob pattern.
        column: As in `list_texts`.
        keep: As in `list_texts`.

    Raises:
        VitError: As in `pictures`; or a str is the name of a file of texts.
    """

    def listing(path: str, *, alone: bool = False) -> Iterator[Record]:
        listed = list_texts([path], column=column, keep=keep, alone=alone and not is_folder(path))
        return (Record(*fields) for fields in listed)

    def records(number: int, item: Any, is_only: bool) -> Iterator[Record]:
        if isinstance(item, str):
            return iter([_text_record(str(number), item)])
        if isinstance(item, os.PathLike):
            return map(_as_record, found(os.fspath(item), listing, is_only=is_only))
        raise VitError(f"the input is {_kind(item)}, expected {TEXTS}: this model reads texts")

    if isinstance(inputs, os.PathLike):
        return listing(require_path(inputs), alone=True)
    return _each([inputs] if isinstance(inputs, str) else _stream(inputs, TEXTS), records)


def _each(items: Iterable[Any], expand: Callable[[int, Any, bool], Iterator[Any]]) -> Iterator[Any]:
    """What each item stands for. Of a folder that comes first it matters whether it is the only one."""
    remaining = enumerate(items)
    for number, item in remaining:
        is_first_folder = number == 0 and isinstance(item, (str, os.PathLike)) and is_folder(item)
        following = list(islice(remaining, 1)) if is_first_folder else None
        yield from expand(number, item, following == [])
        for later, other in following or ():
            yield from expand(later, other, False)


def _stream(inputs: Any, expected: str) -> Iterable[Any]:
    """The inputs one by one; what is a single input is one of one.

    Raises:
        VitError: They cannot be iterated over.
    """
    if isinstance(inputs, (bytes, bytearray, Image.Image)) or hasattr(inputs, "read"):
        return [inputs]
    if isinstance(inputs, (np.ndarray, Tensor)):
        return inputs if inputs.ndim == 4 else [inputs]
    if not isinstance(inputs, Iterable):
        raise VitError(f"inputs is {_kind(inputs)}, expected {expected}, or an iterable of them")
    return inputs


def _in_memory(name: str, item: Any, preprocess: Preprocess) -> Example:
    """A picture that is no path, preprocessed at once: what is kept of it is small."""
    if isinstance(item, (bytes, bytearray)):
        return Content(name, bytes(item))
    if isinstance(item, np.ndarray):
        item = picture_of_array(item)
    elif isinstance(item, Tensor):
        item = picture_of_tensor(item, preprocess)
        if isinstance(item, Tensor):
            return DecodedImage(Content(name, b""), "ok", "", item)
    elif hasattr(item, "read") and isinstance(content := item.read(), bytes):
        return Content(name, content)
    elif not isinstance(item, Image.Image):
        raise VitError(f"the input is {_kind(item)}, expected {PICTURES}")
    return image_in_memory(name, item, preprocess)


def _text_record(name: str, text: str) -> Record:
    """A text that is no file, with the statuses of those in files.

    Raises:
        VitError: It is the name of a file of texts.
    """
    if len(text) <= LONGEST_NAME and suffix_of(Path(text)) in SUFFIXES and os.path.isfile(text):
        raise VitError(
            f"the text {text!r} is the name of a file, and a str is a text itself: pass "
            f"pathlib.Path({text!r}) to read the file"
        )
    try:
        require_unicode(text)
    except VitError as error:
        return Record(name, "", None, "broken", one_line_message(error))
    if not text.strip():
        return Record(name, "", None, "empty", "has no text")
    return Record(name, text, None, "ok", "")


def _as_record(each: Record | Entry) -> Record:
    """A record of a file, or of one that was not found."""
    if isinstance(each, Record):
        return each
    status, detail = each.failure or ("unreadable", "")
    return Record(each.name, "", None, status, detail)


def _kind(item: object) -> str:
    kind = type(item)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
