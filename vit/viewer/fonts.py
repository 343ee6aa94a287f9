"""Text on pictures: Pillow's built-in font, and lines cut to the room there is."""

import importlib.util
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
SIGNS = ELLIPSIS + "·"  # beyond ASCII, what Pillow's own typeface has and our captions use
DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # below matplotlib's own folder


def font(size: float, letters: str = "") -> ImageFont.FreeTypeFont:
    """Return a typeface at `size` pixels that has the `letters`: Pillow's own, which has those of ASCII.

    For others it is DejaVu Sans, which comes with matplotlib: Latin with accents, Greek, Cyrillic, Hebrew,
    Arabic, signs. What it has not, such as Chinese and emoji, is drawn as an empty box.
    """
    if not letters.translate(dict.fromkeys(map(ord, SIGNS))).isascii():
        found = importlib.util.find_spec("matplotlib")
        if found is not None and found.origin is not None:
            return ImageFont.truetype(Path(found.origin).parent / DEJAVU, size)
    face = ImageFont.load_default(size=size)
    assert isinstance(face, ImageFont.FreeTypeFont)  # the bitmap fallback comes only without a size
    return face


def one_line(text: str, unknown: str = "?") -> str:
    """Return `text` with runs of white space as one space and unprintable characters as `unknown`.

    File names may hold line breaks and undecodable bytes (lone surrogates), which no font draws and no UTF-8
    file holds, and overrides of the writing direction, which would rearrange the words around them.
    """
    return "".join(letter if letter.isprintable() else unknown for letter in " ".join(text.split()))


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Return `text` on one line, at most `width` pixels wide in `face`, an ellipsis in its middle if cut.

    The middle goes because both ends tell most: a label and its score, a folder and a file's number.
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
    """Keep `kept` characters of `text`, half of them from either end."""
    head, tail = (kept + 1) // 2, kept // 2
    return text[:head].rstrip() + ELLIPSIS + text[len(text) - tail :].lstrip()
