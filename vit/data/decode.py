"""One file in, one upright picture in mode RGB or L out, or one `DecodeError` that says why not.

Safe to call from many threads at once.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from vit.errors import VitError

# Raster formats alone: no interpreters (EPS, WMF), no scientific containers, nothing that runs a program; and
# none without a signature (DIB, TGA), which would take any bytes for a picture.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")

# Every status but "ok", and what the reader of the message can do about it.
WAYS_OUT = {
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
STATUSES = ("ok", *WAYS_OUT)

# First bytes of files that are pictures to a person, but not to us.
FOREIGN = {b"%!PS": "PostScript", b"%PDF": "PDF", b"8BPS": "Photoshop", b"SIMPLE  =": "FITS", b"<svg": "SVG"}

# EXIF 2.32, tag 0x0112: how to turn the stored pixels upright.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# White of the modes deeper than 8 bits. Pillow keeps 16-bit grey in "I" too.
WHITE = {"I": 65535.0, "F": 1.0}

# What a JPEG decoded at reduced scale keeps over the pixels asked for: resizing has enough to average.
DRAFT_GAP = 2

IN_PILLOW = re.compile(r"PIL\.")


class DecodeError(VitError):
    """A picture that cannot be read; `status` is one of `STATUSES`, never "ok"."""

    def __init__(self, name: str, status: str, detail: str):
        super().__init__(f"{name}: {status}: {detail}; {WAYS_OUT[status]}")
        self.name, self.status, self.detail = name, status, detail
        self.reason = f"{status}: {detail}"

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:  # so that it travels between processes
        return type(self), (self.name, self.status, self.detail)


def open_picture(
    source: str | Path | bytes | BinaryIO, *, max_pixels: int = 178_956_970, enough: int | None = None
) -> Image.Image:
    """Decode a picture completely: first frame, upright by its EXIF, mode "RGB", or "L" for grey sources.

    Palettes become their colours; alpha is laid over white; CMYK, YCbCr, LAB and HSV become RGB; 1-bit
    becomes 0 and 255. Grey deeper than 8 bits is scaled, not clipped: 0..65535 (integers) or 0..1 (floats)
    becomes 0..255; a picture with values outside that range is stretched from its minimum to its maximum.

    Args:
        source: A path, the file's bytes, or an open binary file, which is left open.
        max_pixels: Largest height * width, read from the header before any pixel is decoded. Pillow's own
            limit of 178,956,970 holds above it.
        enough: Pixels on each side that the caller will reduce the picture to. A JPEG of which a half, a
            quarter or an eighth still has `DRAFT_GAP` times as many is decoded at that scale, which its
            format makes quick. None: at full size.

    Raises:
        DecodeError: The picture cannot be read; its `status` says why.
    """
    name = _name(source)
    try:
        with _quiet(), _opened(source) as file:
            return _decode(file, name, max_pixels, enough)
    except DecodeError:
        raise
    except FileNotFoundError:
        raise DecodeError(name, "missing", "no such file") from None
    except PermissionError:
        raise DecodeError(name, "permission", "the file may not be read") from None
    except IsADirectoryError:
        raise DecodeError(name, "not_an_image", "it is a folder") from None
    except MemoryError:
        raise DecodeError(name, "too_large", "to decode it takes more memory than is allowed") from None
    except Image.DecompressionBombError as error:
        raise DecodeError(name, "too_large", _line(error)) from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them raise
        raise DecodeError(name, _status(error), _line(error)) from None


def _decode(file: BinaryIO, name: str, max_pixels: int, enough: int | None) -> Image.Image:
    start = file.tell()
    head = file.read(32)
    length = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if head.startswith(b"RIFF") and int.from_bytes(head[4:8], "little") + 8 > length:
        # WebP tells its length, and its decoder does not tell a cut file from a damaged one.
        raise DecodeError(name, "truncated", f"the file ends after {length:,} bytes")
    try:
        picture: Image.Image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise _unidentified(name, head) from None
    width, height = picture.size
    if height * width > max_pixels:
        detail = f"{height} x {width} = {height * width:,} pixels, the limit is {max_pixels:,}"
        raise DecodeError(name, "too_large", detail)
    if enough is not None:
        picture.draft(None, (DRAFT_GAP * enough, DRAFT_GAP * enough))  # other formats ignore it
    picture.load()
    turn = UPRIGHT.get(_orientation(picture))
    picture = to_8_bit(picture)
    return picture if turn is None else picture.transpose(turn)


def to_8_bit(picture: Image.Image) -> Image.Image:
    """A picture of any of Pillow's modes in L or RGB, as `open_picture` tells."""
    if picture.mode in WHITE or picture.mode.startswith("I;16"):
        return _scaled(picture)
    target = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert(target)


def _scaled(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, integer or float, to L."""
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0.0, neginf=0.0)
    black, white = 0.0, WHITE.get(picture.mode, 65535.0)
    if values.min() < black or values.max() > white:
        black, white = values.min(), values.max()
    scale = 255.0 / (white - black) if white > black else 0.0
    return Image.fromarray(np.rint((values - black) * scale).astype(np.uint8))


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF beside sound pixels: the picture counts
        return 1


def _unidentified(name: str, head: bytes) -> DecodeError:
    if not head:
        return DecodeError(name, "truncated", "the file is empty")
    for magic, kind in FOREIGN.items():
        if head.lstrip().startswith(magic):
            return DecodeError(name, "unsupported", f"a {kind} file")
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return DecodeError(name, "unsupported", "a HEIF file")
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")):
        return DecodeError(name, "unreadable", "it begins like a picture, but its header is damaged")
    return DecodeError(name, "not_an_image", "no known picture format")


def _status(error: Exception) -> str:
    """What a decoder's complaint comes to; Pillow has no classes for it, only words."""
    said = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in said or "unexpected end" in said or "not enough" in said:
        return "truncated"
    if "not available" in said or "unsupported" in said or "not supported" in said:
        return "unsupported"
    return "unreadable"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _name(source: str | Path | bytes | BinaryIO) -> str:
    if isinstance(source, (str, Path)):
        return os.fspath(source)
    return str(getattr(source, "name", "picture"))


@contextmanager
def _opened(source: str | Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, (str, Path)):
        kind = os.stat(source).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # reading a pipe would wait for somebody to write
            raise DecodeError(_name(source), "not_an_image", "it is a pipe, a socket or a device")
        with open(source, "rb") as file:
            yield file
    else:
        yield source


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore what Pillow warns of (size, odd EXIF, malformed MPO): a status says what matters.

    `warnings.catch_warnings` swaps the filter list of the whole process, which threads may not do. One entry
    put in front and taken out again is safe: both are atomic, and a thread inside always finds one in front.
    """
    entry = ("ignore", None, Warning, IN_PILLOW, 0)
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # someone else has put the list back already
            filters.remove(entry)
