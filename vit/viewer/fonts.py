"""Fonts for drawn text, and strings shortened to one line of a given width."""

import importlib.util
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
SIGNS = ELLIPSIS + "·"  # the characters beyond ASCII that captions use and Pillow's built-in font has
DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # relative to the folder of the matplotlib package


def font(size: float, letters: str = "") -> ImageFont.FreeTypeFont:
    """Return a font of `size` pixels that can draw `letters`.

    It is Pillow's built-in font for ASCII, and otherwise DejaVu Sans, which is part of matplotlib: Latin with
    accents, Greek, Cyrillic, Hebrew, Arabic, symbols. Characters that DejaVu Sans lacks, such as Chinese and
    emoji, are drawn as an empty box.
    """
    if not letters.translate(dict.fromkeys(map(ord, SIGNS))).isascii():
        matplotlib = importlib.util.find_spec("matplotlib")
        if matplotlib is not None and matplotlib.origin is not None:
            return ImageFont.truetype(Path(matplotlib.origin).parent / DEJAVU, size)
    face = ImageFont.load_default(size=size)
    assert isinstance(face, ImageFont.FreeTypeFont)  # only without a size is it Pillow's bitmap font
    return face


def one_line(text: str, unknown: str = "?") -> str:
    """Return `text` with each run of white space as one space and each unprintable character as `unknown`.

    File names may contain line breaks, undecodable bytes (lone surrogates), which fonts cannot draw and UTF-8
    cannot encode, and overrides of the writing direction, which would reorder the words around them.
    """
    return "".join(letter if letter.isprintable() else unknown for letter in " ".join(text.split()))


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Return `text` on one line, at most `width` pixels wide in the font `face`.

    Where it is too long, an ellipsis replaces its middle, because the ends matter most: a label and its
    score, a folder and the number of a file.
    """
    text = one_line(text)
    if face.getlength(text) <= width:
        return text
    fits, too_many = 0, len(text)
    while too_many - fits > 1:
        kept = (fits + too_many) // 2
        if face.getlength(_without_middle(text, kept)) <= width:
            fits = kept
        else:
            too_many = kept
    return _without_middle(text, fits)


def _without_middle(text: str, kept: int) -> str:
    """Keep `kept` characters of `text`, half of them from each end."""
    head, tail = (kept + 1) // 2, kept // 2
    return text[:head].rstrip() + ELLIPSIS + text[len(text) - tail :].lstrip()
