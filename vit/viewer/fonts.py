"""Fonts for drawn text, and strings shortened to one line of a given width."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
SIGNS = ELLIPSIS + "·"  # the characters beyond ASCII that captions use and Pillow's built-in font has
DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # relative to the folder of the matplotlib package
BOX = "□"  # drawn for a character that no font has; DejaVu Sans has it

# Files of fonts with Chinese, Japanese or Korean characters, and with Latin ones, as systems come with them.
CJK_FONTS = (
    # Linux
    "NotoSansCJK-Regular.ttc", "NotoSansCJK-VF.otf.ttc", "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf",
    "NotoSansCJKkr-Regular.otf", "NotoSansKR-Regular.otf", "SourceHanSans.ttc", "SourceHanSansCN-Regular.otf",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf",
    "NanumGothic.ttf",
    # macOS
    "PingFang.ttc", "Hiragino Sans GB.ttc", "ヒラギノ角ゴシック W3.ttc", "AppleSDGothicNeo.ttc",
    "STHeiti Light.ttc", "Arial Unicode.ttf",
    # Windows
    "msyh.ttc", "msyh.ttf", "simsun.ttc", "YuGothR.ttc", "YuGothM.ttc", "msgothic.ttc", "malgun.ttf",
)  # fmt: skip


def font(size: float, letters: str = "") -> ImageFont.FreeTypeFont:
    """Return the font of `size` pixels that can draw most of `letters`.

    It is Pillow's built-in font for ASCII. For other characters it is DejaVu Sans, which is part of
    matplotlib (Latin with accents, Greek, Cyrillic, Hebrew, Arabic, symbols), or, for what that lacks, a font
    of the system with Chinese, Japanese or Korean characters. Characters that no font has, such as most
    emoji, are drawn as an empty box.
    """
    if not letters.translate(dict.fromkeys(map(ord, SIGNS))).isascii():
        faces = text_fonts(letters)
        if faces:
            best = max(faces, key=lambda file: sum(letter in _letters(file) for letter in letters))
            return ImageFont.truetype(best, size)
    face = ImageFont.load_default(size=size)
    assert isinstance(face, ImageFont.FreeTypeFont)  # only without a size is it Pillow's bitmap font
    return face


def print_font(size: float, letters: str = "") -> ImageFont.FreeTypeFont:
    """The font of `size` pixels in which matplotlib draws `letters` first: DejaVu Sans, also for ASCII."""
    dejavu = _dejavu()
    if dejavu is None or not letters.isascii():
        return font(size, letters)
    return ImageFont.truetype(dejavu, size)


def text_fonts(text: str) -> Sequence[Path]:
    """Files of the fonts for a text, in the order in which to look for a character.

    DejaVu Sans is the first, and the only one where it has all characters; nothing else is read then. Without
    matplotlib there is none.
    """
    dejavu = _dejavu()
    if dejavu is None:
        return ()
    return (dejavu,) if _missing(text, (dejavu,)) == "" else (dejavu, *system_fonts())


def missing(text: str) -> str:
    """The printable characters of `text` that no font has; empty if all can be drawn."""
    return _missing(text, text_fonts(text))


def boxed(text: str) -> str:
    """`text` with a box in place of each character that no font has."""
    return text.translate(dict.fromkeys(map(ord, missing(text)), BOX))


def system_fonts() -> Sequence[Path]:
    """The fonts of `CJK_FONTS` that are installed, in that order."""
    installed = _installed()
    return [installed[name] for name in CJK_FONTS if name in installed]


@cache
def _installed() -> dict[str, Path]:
    """All fonts of the system by the names of their files; fontconfig's, macOS's or Windows's folders."""
    from matplotlib.font_manager import findSystemFonts

    return {Path(file).name: Path(file) for file in findSystemFonts()}


@cache
def _dejavu() -> Path | None:
    matplotlib = importlib.util.find_spec("matplotlib")
    return (
        None if matplotlib is None or matplotlib.origin is None else Path(matplotlib.origin).parent / DEJAVU
    )


@cache
def _letters(file: Path) -> frozenset[str]:
    """The characters that a font has; of a collection (.ttc), those of its first font."""
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(str(file)).get_charmap()))


def _missing(text: str, fonts: Sequence[Path]) -> str:
    letters = dict.fromkeys(letter for letter in text if letter.isprintable())  # without repeats, in order
    return "".join(letter for letter in letters if not any(letter in _letters(file) for file in fonts))


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
