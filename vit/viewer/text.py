"""The overlay of a text: each word on the color of its heat, a color bar, a title and a caption.

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
from vit.viewer.colors import FAINT, INK, PAPER, color, color_bar, normalise
from vit.viewer.fonts import font, shorten

SIDE = 384  # pixels; margin, font sizes and color bar are those of an image overlay with this `side`
MARGIN, SPACE = SIDE // 24, SIDE // 64  # pixels around everything; between words and title or caption
NARROWEST = 256  # pixels; below it the color bar leaves the words too little room
LINES = 200  # maximum number of lines of words, so that no overlay is higher than 7,100 pixels
STEP, GAP, PAD = 35, 7, 7  # pixels from line to line, between words, and left and right of a word's letters
LETTERS, HEIGHT, RADIUS = (18, 14), (28, 22), (4, 11)  # pixels, of a plain word and of a special one
MUTED_INK = 0.8  # share of ink in the letters of a special word; the rest is its background color
BLANK = "·"  # drawn for a word of white space; Pillow's built-in font lacks the open box that the page uses
MIDDLE = 0.207  # luminance of a background on which INK and PAPER have the same contrast
LUMA = (0.2126, 0.7152, 0.0722)  # weights of red, green and blue in the luminance of sRGB
RGB = tuple[int, ...]
GREY: RGB = (226, 229, 232)  # background of special words with `apart`


class Chip(NamedTuple):
    """A word and its position: index of its line, left and right end in pixels from the start of the line."""

    text: str
    line: int
    left: int
    right: int


def text_overlay(
    words: Sequence[str],
    heat: Tensor,
    *,
    special: Sequence[bool] = (),
    written: Sequence[bool] = (),
    break_at: int | None = None,
    title: str = "",
    caption: str = "",
    width: int = 768,
    mark: int | None = None,
    apart: bool = False,
) -> Image.Image:
    """Draw `words` in their order, each on the color of its heat, with a color bar and two lines of text.

    Args:
        words: N words or tokens, drawn from left to right in logical order, whatever their script. White
            space alone is drawn as a dot, and a word wider than the image loses its middle. At most 200 lines
            are drawn; if there are more, the last one gives the number of words that are not shown.
        heat: (N,), real numbers on any device. Colors run from the smallest value to the largest; equal
            values all get the same color.
        special: N flags, True for special tokens such as [CLS]: smaller, round, in muted ink; empty for none.
        written: N flags, True for words that a model wrote: underlined; empty for none.
        break_at: Index of a word that begins a line of its own, such as the first of a second text.
        title: The line above, for example label and score; its middle is cut out where it is too long.
        caption: The line below, smaller, for example file name and method; shortened in the same way.
        width: Of the image, in pixels; at least 256.
        mark: Index of the query word. It is outlined, and the range of colors leaves its value out, which is
            mostly far above all others.
        apart: Draw special words on grey and leave their heat, often far above that of all words, out of the
            range of colors.

    Returns:
        An RGB image, `width` pixels wide and as high as its lines need.

    Raises:
        VitError: `words` is empty, `heat` is not (N,) or holds NaN or infinity, `special` or `written` has
            another length, `width` is too small, or `mark` or `break_at` is not an index of `words`.
    """
    _check(words, heat, {"special": special, "written": written}, width, {"mark": mark, "break_at": break_at})
    flags = [bool(flag) for flag in special] or [False] * len(words)
    grey = torch.tensor(flags) if apart and not all(flags) else torch.zeros(len(flags), dtype=torch.bool)
    plain = heat.detach().cpu().masked_fill(grey, heat[~grey.to(heat.device)].min().item())
    stretched, low, high = normalise(plain[None], None if mark is None else (0, mark))
    bar = color_bar(STEP + HEIGHT[0], low, high, SIDE)  # two lines high
    faces = [font(size, "".join(words)) for size in LETTERS]
    chips = _lay_out(words, flags, faces, width - 2 * MARGIN - 2 * SPACE - bar.width, break_at)
    hidden = len(words) - len(chips)
    lines = chips[-1].line + (2 if hidden else 1)

    big, small, room = font(SIDE / 19, title), font(SIDE / 26, caption), width - 2 * MARGIN
    top = MARGIN + (round(1.5 * big.size) + SPACE if title.strip() else 0)
    bottom = top + max((lines - 1) * STEP + HEIGHT[0], bar.height)
    end = bottom + (round(1.5 * small.size) + SPACE if caption.strip() else 0)
    page = Image.new("RGB", (width, end + MARGIN), PAPER)
    page.paste(bar, (width - MARGIN - bar.width, top))
    for index, (chip, heated) in enumerate(zip(chips, color(stretched[0]).tolist(), strict=False)):
        background = GREY if grey[index] else tuple(heated)
        face = faces[flags[index]]
        _draw_chip(
            page,
            chip,
            top,
            background,
            face,
            special=flags[index],
            framed=index == mark,
            underlined=bool(written) and bool(written[index]),
        )
    draw = ImageDraw.Draw(page)
    note = f"… {hidden:,} more words are not shown" if hidden else ""
    draw.text((MARGIN, bottom - HEIGHT[0] / 2), note, FAINT, small, anchor="lm")
    draw.text((MARGIN, MARGIN + 0.75 * big.size), shorten(title, big, room), INK, big, anchor="lm")
    draw.text((MARGIN, end - 0.75 * small.size), shorten(caption, small, room), FAINT, small, anchor="lm")
    return page


def _check(
    words: Sequence[str],
    heat: Tensor,
    flags: dict[str, Sequence[bool]],
    width: int,
    places: dict[str, int | None],
) -> None:
    count = len(words)
    if count == 0:
        raise VitError("text_overlay was given 0 words, expected at least 1")
    if tuple(heat.shape) != (count,):
        raise VitError(f"heat has shape {tuple(heat.shape)}, expected ({count},): one value per word")
    for name, each in flags.items():
        if len(each) not in (0, count):
            raise VitError(f"{name} has {len(each)} flags, expected {count}, one per word, or none")
    if width < NARROWEST:
        raise VitError(f"text_overlay has width={width} pixels, expected at least {NARROWEST}")
    for name, place in places.items():
        if place is not None and not 0 <= place < count:
            raise VitError(f"{name} is {place}, expected 0 to {count - 1}")


def _lay_out(
    words: Sequence[str],
    flags: Sequence[bool],
    faces: Sequence[ImageFont.FreeTypeFont],
    room: int,
    break_at: int | None,
) -> list[Chip]:
    """Break `words` into lines of `room` pixels; if they need more than `LINES`, keep the last one free."""
    chips: list[Chip] = []
    line = left = 0
    for index, (word, special) in enumerate(zip(words, flags, strict=True)):
        text = shorten(word, faces[special], room - 2 * PAD) or BLANK
        wide = math.ceil(faces[special].getlength(text)) + 2 * PAD
        if left and (left + wide > room or index == break_at):
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
    background: RGB,
    face: ImageFont.FreeTypeFont,
    *,
    special: bool,
    framed: bool,
    underlined: bool,
) -> None:
    """Draw one word on its `background`, `framed` if it is the query; `top` is the y of the first line."""
    middle = top + chip.line * STEP + HEIGHT[0] // 2
    for grown, fill in [(4, INK), (2, PAPER), (0, background)] if framed else [(0, background)]:
        half = HEIGHT[special] // 2 + grown
        box = (MARGIN + chip.left - grown, middle - half, MARGIN + chip.right + grown, middle + half)
        _fill(page, box, RADIUS[special] + grown, fill)
    luminance = sum(share * (c / 255) ** 2.2 for share, c in zip(LUMA, background, strict=True))
    ink: RGB = INK if luminance > MIDDLE else PAPER
    if special:
        ink = tuple(round(MUTED_INK * a + (1 - MUTED_INK) * b) for a, b in zip(ink, background, strict=True))
    draw = ImageDraw.Draw(page)
    draw.text((box[0] + PAD, middle), chip.text, ink, face, anchor="lm")
    if underlined:
        draw.rectangle((box[0] + PAD, box[3] - 4, box[2] - PAD, box[3] - 3), ink)


def _fill(page: Image.Image, box: tuple[int, int, int, int], radius: int, fill: RGB) -> None:
    """Fill `box` with round corners, antialiased by drawing them four times as large and reducing."""
    mask = Image.new("L", (4 * (box[2] - box[0]), 4 * (box[3] - box[1])))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 4 * radius, fill=255)
    page.paste(fill, box, mask.reduce(4))
