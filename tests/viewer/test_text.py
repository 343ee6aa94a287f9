from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw

from vit.errors import VitError
from vit.viewer.text import text_overlay

MARGIN, STEP, HEIGHT, SMALL = 16, 35, 28, 22  # of the picture, a line, a word and a special word
SCALE = 98  # pixels at the right end that belong to the scale and its margins
TABLE = (colormaps["inferno"](np.arange(256), bytes=True)[:, :3]).astype(int)
INK, PAPER = (28, 30, 34), (255, 255, 255)
WORDS = ["not", "a", "bad", "film", "at", "all", "."]


class Box(NamedTuple):
    left: int
    right: int
    color: tuple[int, ...]


def boxes(page: Image.Image, line: int = 0, *, top: int = MARGIN, inset: int = 3) -> list[Box]:
    """The backgrounds of the words on one line, read a little below their upper edge, above all letters."""
    row = np.array(page).astype(int)[top + line * STEP + inset]
    filled = np.concatenate([[False], (row != 255).any(1), [False]])
    edges = np.flatnonzero(filled[1:] != filled[:-1])
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    # The scale and its figures are narrower than any word.
    return [Box(a, b, tuple(row[(a + b) // 2].tolist())) for a, b in pairs if b - a > 12]


def lines_of(page: Image.Image) -> int:
    """The number of lines in a picture without title and caption."""
    return (page.height - 2 * MARGIN + STEP - HEIGHT) // STEP


def colors(values: list[float]) -> list[tuple[int, ...]]:
    low, high = min(values), max(values)
    return [tuple(TABLE[round(255 * (value - low) / (high - low))].tolist()) for value in values]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(rgb: tuple[int, ...]) -> float:
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return float(np.dot((0.2126, 0.7152, 0.0722), linear))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def letters(page: Image.Image, box: Box, line: int = 0) -> tuple[int, ...]:
    """The color inside a word's background that differs most from it: the ink of its letters."""
    top = MARGIN + line * STEP
    inside = np.array(page)[top + 4 : top + HEIGHT - 4, box.left + 4 : box.right - 4].reshape(-1, 3)
    return max({tuple(pixel) for pixel in inside.tolist()}, key=lambda pixel: contrast(pixel, box.color))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that are drawn, in their order."""
    texts: list[str] = []
    plain = ImageDraw.ImageDraw.text

    def text(self, xy, text, *args, **kwargs):
        texts.append(text)
        return plain(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


def test_every_word_stands_on_the_color_of_its_heat() -> None:
    heat = [-0.5, 0.25, 3.0, 0.0, -0.125, 1.5, 0.75]
    page = text_overlay(WORDS, torch.tensor(heat))
    assert page.mode == "RGB"
    assert page.width == 768
    found = boxes(page)
    assert [box.color for box in found] == colors(heat)
    assert found[0].left - MARGIN in (0, 1)
    assert all(5 <= b.left - a.right <= 9 for a, b in pairwise(found))
    assert found[3].right - found[3].left > found[1].right - found[1].left  # film is longer than a


def test_equal_heat_is_flat() -> None:
    page = text_overlay(WORDS, torch.full((7,), -0.25))
    assert {box.color for box in boxes(page)} == {tuple(TABLE[128].tolist())}


@pytest.mark.parametrize("width", [256, 401, 768])
def test_words_wrap_in_reading_order(width, drawn) -> None:
    words = [f"{'word'[: 1 + index % 4]}{index}" for index in range(199)]
    heat = torch.randperm(199, generator=torch.Generator().manual_seed(0))
    page = text_overlay(words, heat, width=width)
    assert [text for text in drawn if text.startswith("w")] == words

    lines = [boxes(page, line) for line in range(lines_of(page))]
    assert [box.color for line in lines for box in line] == colors(heat.tolist())
    room = width - SCALE
    for line, below in pairwise(lines):
        first = below[0].right - below[0].left
        assert line[-1].right + 7 + first > room, "a word that had room went to the next line"
    assert max(box.right for line in lines for box in line) <= room
    # Nothing but the scale, in its two lines, stands to the right of the words' room.
    pixels = np.array(page)
    assert (pixels[MARGIN + STEP + HEIGHT :, room:] == 255).all()
    assert (pixels[:, -MARGIN:] == 255).all()


def test_letters_are_legible_on_every_color() -> None:
    page = text_overlay(["MM"] * 256, torch.arange(256))
    inks = {
        box.color: letters(page, box, line) for line in range(lines_of(page)) for box in boxes(page, line)
    }
    assert len(inks) == len({tuple(rgb) for rgb in TABLE.tolist()})
    assert set(inks.values()) == {INK, PAPER}
    for ground, ink in inks.items():
        assert contrast(ground, ink) == max(contrast(ground, INK), contrast(ground, PAPER)) > 4


def test_special_words_are_smaller_round_and_muted() -> None:
    words, heat = ["[CLS]", "film", "[SEP]"], torch.tensor([0.0, 0.5, 1.0])
    plain = boxes(text_overlay(words, heat))
    page = text_overlay(words, heat, special=[True, False, True])
    assert page.size == text_overlay(words, heat).size
    cls, film, sep = boxes(page, inset=HEIGHT // 2 - 9)
    assert [cls.color, film.color, sep.color] == colors(heat.tolist())
    assert cls.right - cls.left < 0.9 * (plain[0].right - plain[0].left)
    assert film.right - film.left == pytest.approx(plain[1].right - plain[1].left, abs=2)
    assert len(boxes(page, inset=1)) == 1, "only the plain word is so high"
    column = np.array(page)[MARGIN : MARGIN + HEIGHT, (cls.left + cls.right) // 2 + 6]
    assert (column != 255).any(1).sum() == SMALL
    for box in (cls, sep):
        muted = contrast(letters(page, box), box.color)
        assert 3 < muted < 0.9 * max(contrast(INK, box.color), contrast(PAPER, box.color))


def test_written_words_are_underlined_and_nothing_else_changes() -> None:
    heat = torch.linspace(0, 1, 7)
    plain, lined = (
        np.array(text_overlay(WORDS, heat, written=flags)).astype(int)
        for flags in ([], [place == 3 for place in range(7)])
    )
    differs = (plain != lined).any(-1)
    film = boxes(text_overlay(WORDS, heat))[3]
    rows, cols = differs.nonzero()
    assert set(rows - MARGIN) <= {HEIGHT - 5, HEIGHT - 4, HEIGHT - 3, HEIGHT - 2}
    assert film.left < cols.min()
    assert cols.max() < film.right
    assert differs[rows[0]].sum() > 0.5 * (film.right - film.left)


def test_a_second_text_begins_a_line() -> None:
    heat = torch.linspace(0, 1, 7)
    one, two = text_overlay(WORDS, heat), text_overlay(WORDS, heat, break_at=4)
    assert len(boxes(one)) == 7
    assert [len(boxes(two, line)) for line in (0, 1)] == [4, 3]
    assert boxes(two, 1)[0].left == boxes(two, 0)[0].left
    assert text_overlay(WORDS, heat, break_at=0).tobytes() == one.tobytes()


def test_the_marked_word_is_framed_and_out_of_the_range() -> None:
    heat = [0.1, 0.3, 50.0, 0.21, 0.16, 0.26, 0.12]  # the value of the query word is far above all others
    page = text_overlay(WORDS, torch.tensor(heat), mark=2)
    found = boxes(page, inset=6)
    others = colors([value for value in heat if value != 50.0])
    assert [box.color for box in found] == [*others[:2], tuple(TABLE[255].tolist()), *others[2:]]
    plain = text_overlay(WORDS, torch.tensor(heat))
    for index, box in enumerate(boxes(plain, inset=6)):
        middle = (box.left + box.right) // 2
        column = [page.getpixel((middle, MARGIN + y)) for y in (-4, -3, -2, -1, HEIGHT, HEIGHT + 3)]
        framed = [INK, INK, PAPER, PAPER, PAPER, INK]
        assert column == (framed if index == 2 else [PAPER] * 6)
    assert plain.getpixel((boxes(plain)[2].left + 10, MARGIN - 3)) == PAPER


def test_a_single_word_may_be_marked() -> None:
    page = text_overlay(["film"], torch.tensor([2.0]), mark=0)
    assert boxes(page, inset=6)[0].color == tuple(TABLE[128].tolist())


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (" ", "·"),
        ("", "·"),
        ("\n\t", "·"),
        ("\u200b", "?"),
        ("bad\udcff", "bad?"),
        ("a\u202eb", "a?b"),
        (" the ", "the"),
        ("猫", "猫"),
    ],
)
def test_odd_words_are_drawn_visibly(word, shown, drawn) -> None:
    page = text_overlay(["one", word, "two"], torch.tensor([0.0, 1.0, 2.0]))
    assert drawn.index("one") + 1 == drawn.index(shown) == drawn.index("two") - 1
    box = boxes(page)[1]
    assert letters(page, box) != box.color


def test_words_of_any_script_keep_their_logical_order(drawn) -> None:
    words = ["שלום", "עולם", "abc", "مرحبا"]
    page = text_overlay(words, torch.arange(4))
    assert [text for text in drawn if text in words] == words
    assert [box.color for box in boxes(page)] == colors([0, 1, 2, 3])


@pytest.mark.parametrize("width", [256, 768])
def test_a_word_wider_than_the_picture_loses_its_middle(width, drawn) -> None:
    page = text_overlay(["a", "begin" + "x" * 5000 + "end", "b"], torch.arange(3), width=width)
    (shown,) = [text for text in drawn if "…" in text]
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert [len(boxes(page, line)) for line in range(3)] == [1, 1, 1]
    assert boxes(page, 1)[0].right <= width - 2 * MARGIN - 60, "it leaves room for the color bar"


def test_text_makes_room_for_itself_and_never_widens_the_page() -> None:
    heat = torch.rand(7, generator=torch.Generator().manual_seed(0))
    bare, titled = text_overlay(WORDS, heat), text_overlay(WORDS, heat, title="positive")
    captioned = text_overlay(WORDS, heat, caption="review 7")
    long = text_overlay(WORDS, heat, title="cat " * 500, caption="x" * 2000)
    assert bare.height < captioned.height < titled.height < long.height
    assert {bare.width, titled.width, captioned.width, long.width} == {768}
    assert text_overlay(WORDS, heat, title=" ", caption="\n").tobytes() == bare.tobytes()
    words = np.array(bare)[MARGIN:-MARGIN]
    down = titled.height - bare.height
    assert (np.array(titled)[MARGIN + down : -MARGIN] == words).all(), "a title stands above"
    assert (np.array(captioned)[: bare.height - MARGIN] == np.array(bare)[:-MARGIN]).all(), "a caption below"
    for picture in (titled, captioned, long):
        assert (np.array(picture)[:, -MARGIN:] == 255).all(), "text ran into the margin"
        assert (np.array(picture)[-MARGIN:] == 255).all()
    assert (np.array(titled)[MARGIN : MARGIN + down] != 255).any()
    assert (np.array(captioned)[-MARGIN - down : -MARGIN] != 255).any()


@pytest.mark.timeout(60)
def test_what_ten_thousand_words_leave_out_is_counted(drawn) -> None:
    heat = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    page = text_overlay(["word"] * 10_000, heat, title="a", caption="b")
    assert 6900 < page.height <= 7100
    shown = drawn.count("word")
    assert shown > 1000
    assert f"… {10_000 - shown:,} more words are not shown" in drawn
    assert not boxes(page, 199, top=page.height - MARGIN - 199 * STEP - HEIGHT)


def test_the_last_line_is_given_up_only_if_words_are_left(drawn) -> None:
    long = "x" * 500
    full = text_overlay([long] * 200, torch.rand(200), width=256)
    assert sum("x…x" in text for text in drawn) == 200
    assert not any("shown" in text for text in drawn)
    drawn.clear()
    more = text_overlay([long] * 201, torch.rand(201), width=256)
    assert sum("x…x" in text for text in drawn) == 199
    assert "… 2 more words are not shown" in drawn
    assert more.size == full.size


def test_the_same_words_and_heat_give_the_same_picture() -> None:
    heat = torch.rand(7, generator=torch.Generator().manual_seed(0)).bfloat16()
    kept = heat.clone()
    first = text_overlay(WORDS, heat, title="a", caption="b", mark=3)
    again = text_overlay(tuple(WORDS), heat.double().requires_grad_(), title="a", caption="b", mark=3)
    assert first.tobytes() == again.tobytes()
    assert torch.equal(heat, kept)
    assert text_overlay(WORDS, heat, special=[False] * 7).tobytes() == text_overlay(WORDS, heat).tobytes()
    assert text_overlay(WORDS, heat.flip(0)).tobytes() != text_overlay(WORDS, heat).tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_heat_that_is_not_finite_is_refused(value) -> None:
    heat = torch.rand(7)
    heat[4] = value
    with pytest.raises(VitError, match="heat has NaN or infinity in 1 of 7"):
        text_overlay(WORDS, heat)


@pytest.mark.parametrize(
    ("words", "heat", "options", "message"),
    [
        ([], torch.zeros(0), {}, "given 0 words, expected at least 1"),
        (WORDS, torch.zeros(5), {}, r"heat has shape \(5,\), expected \(7,\)"),
        (WORDS, torch.zeros(1, 7), {}, r"heat has shape \(1, 7\), expected \(7,\)"),
        (WORDS, torch.zeros(7), {"special": [True] * 3}, "special has 3 flags, expected 7"),
        (WORDS, torch.zeros(7), {"width": 255}, "width=255 pixels, expected at least 256"),
        (WORDS, torch.zeros(7), {"mark": 7}, "mark is 7, expected 0 to 6"),
        (WORDS, torch.zeros(7), {"mark": -1}, "mark is -1, expected 0 to 6"),
        (WORDS, torch.zeros(7), {"written": [True]}, "written has 1 flags, expected 7"),
        (WORDS, torch.zeros(7), {"break_at": 7}, "break_at is 7, expected 0 to 6"),
    ],
)
def test_what_does_not_fit_the_words_is_refused(words, heat, options, message) -> None:
    with pytest.raises(VitError, match=message):
        text_overlay(words, heat, **options)
