"""One picture of a text: each word on the colour of its heat, the scale beside them, and two lines about it.

      title
      (CLS) [the] [words]   ▐ high
      [in]  [their] [order] ▐ low
      caption

N is the number of words.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vit.errors import VitError
from vit.viewer.fonts import font, shorten
from vit.viewer.overlay import FAINT, INK, PAPER, _colour_bar, _normalise, colour

SIDE = 384  # of the overlay whose margin, lettering and scale this picture has
MARGIN, SPACE = SIDE // 24, SIDE // 64  # pixels around the picture; between words and title or caption
NARROWEST = 256  # pixels; below it the scale leaves the words too little room
LINES = 200  # of words at most: no picture is higher than 7,100 pixels
STEP, GAP, PAD = 35, 7, 7  # pixels from line to line, between words, and beside a word's letters
LETTERS, HEIGHT, RADIUS = (18, 14), (28, 22), (4, 11)  # pixels, of a plain word and of a special one
MUTED_INK = 0.8  # share of ink in the letters of a special word; the rest is the colour they stand on
BLANK = "·"  # stands for a word of white space; the built-in font has no open box
MIDDLE = 0.207  # luminance of a colour on which INK and PAPER have the same contrast
LUMA = (0.2126, 0.7152, 0.0722)  # shares of red, green and blue in the luminance of sRGB
RGB = tuple[int, ...]
GREY: RGB = (226, 229, 232)  # what special words stand on that are set apart


class Chip(NamedTuple):
    """A word in its place: which line, counted from 0, and its ends in pixels from the line's start."""

    text: str
    line: int
    left: int
    right: int


def text_overlay(
    words: Sequence[str],
    heat: Tensor,
    *,
    special: Sequence[bool] = (),
    title: str = "",
    caption: str = "",
    width: int = 768,
    mark: int | None = None,
    apart: bool = False,
) -> Image.Image:
    """Draw `words` in their order, each on the colour of its heat, with a colour bar and two lines of text.

    Args:
        words: N words or tokens. They stand from left to right in logical order, whatever their script; white
            space alone is drawn as a dot, and a word wider than the picture loses its middle. At most 200
            lines are drawn; if there are more, the last one says how many words are not shown.
        heat: (N,), real numbers on any device. Colours run from the smallest value to the largest; equal
            values give one flat colour.
        special: N flags, True for marks such as [CLS]: smaller, round and in muted ink; empty for none.
        title: the line above, say label and score; shortened in its middle where too long.
        caption: the line below, smaller, say file name and method; shortened likewise.
        width: of the picture, in pixels; at least 256.
        mark: the word that was asked from, counted from 0. It is outlined, and its own value, mostly far
            above all others, takes no part in the range of colours.
        apart: whether special words stand on grey, and their heat, which often outshines all words, takes no
            part in the range of colours.

    Returns:
        An RGB picture, `width` pixels wide and as high as its lines.

    Raises:
        VitError: there is no word, `heat` is not (N,) or holds NaN or infinity, `special` has another
            length, `width` is too small, or `mark` lies outside the words.
    """
    _check(words, heat, special, width, mark)
    flags = [bool(flag) for flag in special] or [False] * len(words)
    grey = torch.tensor(flags) if apart and not all(flags) else torch.zeros(len(flags), dtype=torch.bool)
    plain = heat.detach().cpu().masked_fill(grey, heat[~grey.to(heat.device)].min().item())
    share, low, high = _normalise(plain[None], None if mark is None else (0, mark))
    bar = _colour_bar(STEP + HEIGHT[0], low, high, SIDE)  # two lines high
    faces = [font(size, "".join(words)) for size in LETTERS]
    chips = _lay_out(words, flags, faces, width - 2 * MARGIN - 2 * SPACE - bar.width)
    hidden = len(words) - len(chips)
    lines = chips[-1].line + (2 if hidden else 1)

    big, small, room = font(SIDE / 19, title), font(SIDE / 26, caption), width - 2 * MARGIN
    top = MARGIN + (round(1.5 * big.size) + SPACE if title.strip() else 0)
    bottom = top + max((lines - 1) * STEP + HEIGHT[0], bar.height)
    end = bottom + (round(1.5 * small.size) + SPACE if caption.strip() else 0)
    page = Image.new("RGB", (width, end + MARGIN), PAPER)
    page.paste(bar, (width - MARGIN - bar.width, top))
    for index, (chip, heated) in enumerate(zip(chips, colour(share[0]).tolist(), strict=False)):
        ground = GREY if grey[index] else tuple(heated)
        face = faces[flags[index]]
        _draw_chip(page, chip, top, ground, face, special=flags[index], framed=index == mark)
    draw = ImageDraw.Draw(page)
    note = f"… {hidden:,} more words are not shown" if hidden else ""
    draw.text((MARGIN, bottom - HEIGHT[0] / 2), note, FAINT, small, anchor="lm")
    draw.text((MARGIN, MARGIN + 0.75 * big.size), shorten(title, big, room), INK, big, anchor="lm")
    draw.text((MARGIN, end - 0.75 * small.size), shorten(caption, small, room), FAINT, small, anchor="lm")
    return page


def _check(words: Sequence[str], heat: Tensor, special: Sequence[bool], width: int, mark: int | None) -> None:
    count = len(words)
    if count == 0:
        raise VitError("text_overlay was given 0 words, expected at least 1")
    if tuple(heat.shape) != (count,):
        raise VitError(f"heat has shape {tuple(heat.shape)}, expected ({count},): one value per word")
    if len(special) not in (0, count):
        raise VitError(f"special has {len(special)} flags, expected {count}, one per word, or none")
    if width < NARROWEST:
        raise VitError(f"text_overlay has width={width} pixels, expected at least {NARROWEST}")
    if mark is not None and not 0 <= mark < count:
        raise VitError(f"mark is {mark}, expected 0 to {count - 1}")


def _lay_out(
    words: Sequence[str], flags: Sequence[bool], faces: Sequence[ImageFont.FreeTypeFont], room: int
) -> list[Chip]:
    """ResumePosition `words` on lines of `room` pixels: all, or those that leave the last line to a note."""
    chips: list[Chip] = []
    line = left = 0
    for word, special in zip(words, flags, strict=True):
        text = shorten(word, faces[special], room - 2 * PAD) or BLANK
        wide = math.ceil(faces[special].getlength(text)) + 2 * PAD
        if left and left + wide > room:
            line, left = line + 1, 0
        if line == LINES:
            return [chip for chip in chips if chip.line < LINES - 1]
        chips.append(Chip(text, line, left, left + wide))
        left += wide + GAP
    return chips


def _draw_chip(
    page: Image.Image,
    chip: Chip,
    top: int,
    ground: RGB,
    face: ImageFont.FreeTypeFont,
    *,
    special: bool,
    framed: bool,
) -> None:
    """Draw one word on its colour `ground`, in a frame if asked from; `top` is that of the first line."""
    middle = top + chip.line * STEP + HEIGHT[0] // 2
    for grown, fill in [(4, INK), (2, PAPER), (0, ground)] if framed else [(0, ground)]:
        half = HEIGHT[special] // 2 + grown
        box = (MARGIN + chip.left - grown, middle - half, MARGIN + chip.right + grown, middle + half)
        _fill(page, box, RADIUS[special] + grown, fill)
    luminance = sum(share * (c / 255) ** 2.2 for share, c in zip(LUMA, ground, strict=True))
    ink: RGB = INK if luminance > MIDDLE else PAPER
    if special:
        ink = tuple(round(MUTED_INK * a + (1 - MUTED_INK) * b) for a, b in zip(ink, ground, strict=True))
    ImageDraw.Draw(page).text((box[0] + PAD, middle), chip.text, ink, face, anchor="lm")


def _fill(page: Image.Image, box: tuple[int, int, int, int], radius: int, fill: RGB) -> None:
    """Fill `box` with round corners; drawn four times as large and reduced, so that they are smooth."""
    mask = Image.new("L", (4 * (box[2] - box[0]), 4 * (box[3] - box[1])))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 4 * radius, fill=255)
    page.paste(fill, box, mask.reduce(4))
