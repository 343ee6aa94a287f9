"""Decoding of one picture: an upright image in mode RGB or L, or a `DecodeError` that says why not.

Thread-safe.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from vit.data.formats import HEAD, TAIL, begins_like_a_picture, is_heif, unsupported_format
from vit.errors import VitError, one_line_message

# Whatever a picture may come as.
Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

# Raster formats only: no interpreters (EPS, WMF), no scientific containers, nothing that runs a program; and
# none without a signature (DIB, TGA), whose decoders take any bytes for an image.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")

# Every status but "ok", and what can be done about it.
REMEDIES = {
    "missing": "check the path",
    "permission": "make the file readable",
    "not_an_image": "remove it from the input",
    "unsupported": f"convert it to one of {', '.join(FORMATS)}",
    "truncated": "fetch or save the file again",
    "too_large": "make the picture smaller; where memory was short, --memory allows more",
    "unreadable": "save it again with another program",
    "timeout": "give it more time with --timeout, or save it again with another program",
    "crashed": "save it again with another program",
}
STATUSES = ("ok", *REMEDIES)

# EXIF 2.32, tag 0x0112, and what makes the stored pixels upright.
ORIENTATION = 0x0112
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The value of white in modes with more than 8 bits. Pillow uses "I" for 16-bit grey too.
WHITE = {"I": 65535.0, "F": 1.0}

# A JPEG decoded at a reduced scale keeps this many times the pixels per side that are needed.
DRAFT_GAP = 2

# PNG compresses its texts (XMP, the description of a workflow) and its color profile. Pillow refuses one of
# more than 1 MiB, and all texts together above 64 MiB, which is the bound of each here too. Set once, before
# any thread reads: Pillow has no argument for it.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)

PILLOW_MODULES = re.compile(r"PIL\.")


class DecodeError(VitError):
    """An image that cannot be read; `status` is one of `STATUSES`, never "ok"."""

    def __init__(self, name: str, status: str, detail: str):
        super().__init__(f"{name}: {status}: {detail}; {REMEDIES[status]}")
        self.name, self.status, self.detail = name, status, detail
        self.reason = f"{status}: {detail}"

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:  # pickled with its three arguments
        return type(self), (self.name, self.status, self.detail)


def open_image(source: Source, *, max_pixels: int = 178_956_970, min_side: int | None = None) -> Image.Image:
    """A picture, complete and upright: first frame, turned by its EXIF, mode "RGB", or "L" for grey sources.

    Palettes become their colors; alpha is composited over white; CMYK, YCbCr, LAB and HSV become RGB; 1-bit
    becomes 0 and 255. Grey of more than 8 bits is scaled, not clipped: 0..65535 (integers) or 0..1 (floats)
    becomes 0..255; an image with values outside that range is stretched from its minimum to its maximum.

    Args:
        source: A path, the file's bytes, an open binary file, which is left open, a Pillow image, which is
            left as it is, or a uint8 array (height, width, 3), RGB, or (height, width), grey.
        max_pixels: Largest height * width of a file, read from its header before any pixel is decoded.
            Pillow's own limit of 178,956,970 holds as well.
        min_side: Pixels per side that the caller needs, and resizes the image to. A JPEG file is decoded at
            1/2, 1/4 or 1/8 scale where that leaves `DRAFT_GAP` times as many: faster, with slightly other
            pixels (`vit.data.preprocess.Preprocess.read` has figures). None: at full size.

    Raises:
        DecodeError: The picture cannot be read; its `status` says why.
        VitError: `source` is something else, or has no pixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    with _decode_errors(name := _name(source)), _quiet():
        if isinstance(source, Image.Image):
            return upright(source)
        with _opened(source) as file:
            return _decode(file, name, max_pixels, min_side)


def _decode(file: BinaryIO, name: str, max_pixels: int, min_side: int | None) -> Image.Image:
    start = file.tell()
    head = file.read(HEAD)
    length = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if head.startswith(b"RIFF") and int.from_bytes(head[4:8], "little") + 8 > length:
        # The header of WebP holds the length; its decoder reports a cut file as a damaged one.
        raise DecodeError(name, "truncated", f"the file ends after {length:,} bytes")
    try:
        image: Image.Image = _open_heif(file, name) if is_heif(head) else Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(start + max(length - TAIL, 0))
        raise _unidentified(name, head, file.read(TAIL)) from None
    width, height = image.size
    if height * width > max_pixels:
        detail = f"{height} x {width} = {height * width:,} pixels, the limit is {max_pixels:,}"
        raise DecodeError(name, "too_large", detail)
    if min_side is not None:
        image.draft(None, (DRAFT_GAP * min_side, DRAFT_GAP * min_side))  # other formats ignore it
    return upright(image)


def _open_heif(file: BinaryIO, name: str) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        detail = "its format is HEIF (HEIC), which `pip install 'vit[heic]'` makes readable"
        raise DecodeError(name, "unsupported", detail) from None
    return HeifImageFile(file)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or (array.ndim != 2 and array.shape[2:] != (3,)) or not array.size:
        raise _not_a_picture(array)
    return Image.fromarray(array)


def upright(image: Image.Image) -> Image.Image:
    """A Pillow image of any mode -> mode L or RGB, as described at `open_image`, or itself if it is that.

    One that was turned has no EXIF any more, so that it is not turned again.
    """
    if not all(image.size):
        raise VitError(f"the picture has {image.height} x {image.width} pixels, expected at least 1 x 1")
    image.load()
    transpose = TRANSPOSES.get(_orientation(image))
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        image = to_8_bit(image)
    if transpose is not None:
        image = image.transpose(transpose)
        image.info.clear()
    return image


def to_8_bit(image: Image.Image) -> Image.Image:
    """An image of any Pillow mode -> mode L or RGB, as described at `open_image`."""
    if image.mode in WHITE or image.mode.startswith("I;16"):
        return _scaled(image)
    target = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(target)


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, integer or float, to L."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    black, white = 0.0, WHITE.get(image.mode, 65535.0)
    if values.min() < black or values.max() > white:
        black, white = values.min(), values.max()
    scale = 255.0 / (white - black) if white > black else 0.0
    return Image.fromarray(np.rint((values - black) * scale).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # the EXIF is damaged, the pixels may be readable
        return 1


def _unidentified(name: str, head: bytes, tail: bytes) -> DecodeError:
    if not head:
        return DecodeError(name, "truncated", "the file is empty")
    kind = unsupported_format(head, tail, name)
    if kind is not None:
        return DecodeError(name, "unsupported", f"its format is {kind}")
    if begins_like_a_picture(head):
        return DecodeError(name, "unreadable", "it begins like a picture, but its header is damaged")
    return DecodeError(name, "not_an_image", "no known picture format")


@contextmanager
def _decode_errors(name: str) -> Iterator[None]:
    """Turn whatever goes wrong into a `DecodeError`."""
    try:
        yield
    except VitError:
        raise
    except FileNotFoundError:
        raise DecodeError(name, "missing", "no such file") from None
    except PermissionError:
        raise DecodeError(name, "permission", "the file may not be read") from None
    except IsADirectoryError:
        raise DecodeError(name, "not_an_image", "it is a folder") from None
    except MemoryError:
        raise DecodeError(name, "too_large", "decoding it takes more memory than is allowed") from None
    except Image.DecompressionBombError as error:
        raise DecodeError(name, "too_large", _line(error)) from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them raise
        raise DecodeError(name, _status(error), _line(error)) from None


def _status(error: Exception) -> str:
    """The status of a decoder's error, from its message: Pillow has no error classes for it."""
    message = str(error).lower()
    truncated = ("truncated", "unexpected end", "not enough")
    if isinstance(error, EOFError) or any(phrase in message for phrase in truncated):
        return "truncated"
    if any(phrase in message for phrase in ("not available", "unsupported", "not supported")):
        return "unsupported"
    if "max_text" in message:  # Pillow's names of the limits of a PNG's texts
        return "too_large"
    return "unreadable"


def _line(error: BaseException) -> str:
    return one_line_message(error) or type(error).__name__


def _name(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", None) or getattr(source, "filename", None) or "picture")


@contextmanager
def _opened(source: object) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        kind = os.stat(source).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # reading a pipe would block
            raise DecodeError(_name(source), "not_an_image", "it is a pipe, a socket or a device")
        with open(source, "rb") as opened:
            yield opened
    elif not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise _not_a_picture(source)
    else:
        file = cast(BinaryIO, source)
        yield file if file.seekable() else io.BytesIO(file.read())


def _not_a_picture(source: object) -> VitError:
    kind = type(source)
    found = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        found += f" of shape {tuple(source.shape)} and dtype {source.dtype}"
    return VitError(
        f"the picture is a {found}, expected a path, the bytes of a file, a file open in binary mode, a "
        "Pillow image, or a NumPy array of dtype uint8 and shape (height, width, 3), RGB, or (height, width)"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore Pillow's warnings (size, damaged EXIF, malformed MPO): the status reports what matters.

    `warnings.catch_warnings` replaces the filter list of the whole process, which is not thread-safe. To
    insert one entry and remove it again is: both are atomic, and each thread inside has an entry in front.
    """
    entry = ("ignore", None, Warning, PILLOW_MODULES, 0)
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # other code has restored the list already
            filters.remove(entry)
