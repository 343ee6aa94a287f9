import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from vit.errors import VitError
from vit.viewer import color, contact_sheet, overlay

SIDE = 384
SIZE = 9 + SIDE / 96  # of the smaller letters
MARGIN, GAP = round(1.2 * SIZE), round(SIZE)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def panels(page: Image.Image, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The two panels of an overlay, each (height, width, 3), of a picture shown at that size."""
    pixels = np.array(page).astype(int)[MARGIN : MARGIN + height]
    second = MARGIN + width + GAP
    return pixels[:, MARGIN : MARGIN + width], pixels[:, second : second + width]


@pytest.mark.parametrize(
    ("size", "grid", "shown"),
    [
        ((11 * 16, 7 * 16), (7, 11), (384, 244)),  # resampled by a fraction
        ((7 * 16, 13 * 16), (13, 7), (207, 384)),  # upright
        ((22, 14), (7, 11), (374, 238)),  # square pixels and square patches
        ((8, 8), (4, 2), (384, 384)),  # patches that are not square
        ((1100, 700), (7, 11), (384, 244)),  # a photograph, downsized
    ],
)
def test_a_hot_cell_lights_exactly_its_patch(size, grid, shown):
    width, height = shown
    rows, cols = grid
    for row, col in [(0, 0), (rows - 1, cols - 1), (rows // 2, 1), (1, cols // 2)]:
        heat = torch.zeros(rows, cols)
        heat[row, col] = 1
        page = overlay(Image.new("L", size, 90), heat)
        light = panels(page, width, height)[1].sum(2).astype(float)
        glow = light - light.min()
        ys, xs = np.nonzero(glow > 0.5 * glow.max())
        # The region brighter than half is the patch: centred on it, and about as large.
        assert abs(ys.mean() + 0.5 - (row + 0.5) * height / rows) < 0.08 * height / rows + 1
        assert abs(xs.mean() + 0.5 - (col + 0.5) * width / cols) < 0.08 * width / cols + 1
        assert np.ptp(ys) + 1 == pytest.approx(height / rows, rel=0.25, abs=2)
        assert np.ptp(xs) + 1 == pytest.approx(width / cols, rel=0.25, abs=2)


def test_small_patches_are_squares_with_sharp_edges():
    heat = torch.zeros(4, 4)
    heat[2, 1] = 3.0
    heat[0, 0] = 2.0  # as many high values as are not clipped
    lit = panels(overlay(Image.new("L", (8, 8)), heat), 384, 384)[1].sum(2)
    expected = np.zeros((384, 384), dtype=bool)
    expected[192:288, 96:192] = expected[:96, :96] = True
    assert ((lit > lit.min()) == expected).all()


def test_the_original_is_shown_untouched_and_crisp():
    digit = Image.fromarray((load_digits().images[3] * 15).astype(np.uint8))
    original = panels(overlay(digit, torch.rand(4, 4)), 384, 384)[0]
    expected = np.array(digit).repeat(48, 0).repeat(48, 1)
    assert (original == expected[..., None]).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (640, 3), (3, 640), (97, 89)])
def test_every_mode_and_size_is_drawn(mode, size):
    page = overlay(
        noise(*size, mode), torch.rand(3, 5), title="cat 97 %", caption="a.png · rollout", side=128
    )
    assert page.mode == "RGB"
    assert max(page.size) < 2 * 128 + 224


def test_text_makes_room_for_itself_and_never_widens_the_page():
    picture, heat = noise(32, 32), torch.rand(8, 8)
    bare, short = overlay(picture, heat), overlay(picture, heat, title="cat")
    long = overlay(picture, heat, title="cat " * 500, caption="x" * 2000)
    assert bare.height < short.height < long.height
    assert bare.width == short.width == long.width
    band = np.array(long)[:, -MARGIN:]
    assert (band == 255).all(), "text ran into the margin"


@pytest.mark.parametrize("text", ["猫 97 %", "two\nlines\ttabbed", "bad\udcff byte\x00", "→ €", " "])
def test_odd_letters_do_not_crash(text):
    overlay(noise(32, 32), torch.rand(8, 8), title=text, caption=text)


def test_equal_heat_is_flat():
    lit = panels(overlay(Image.new("L", (32, 32), 90), torch.full((4, 4), 0.25)), 384, 384)[1]
    assert (lit == lit[0, 0]).all()


def test_heat_may_be_of_any_type_and_need_gradients():
    heat = torch.rand(4, 4)
    expected = overlay(noise(32, 32), heat.bfloat16().float()).tobytes()
    assert overlay(noise(32, 32), heat.bfloat16().float().requires_grad_()).tobytes() == expected
    overlay(noise(32, 32), torch.arange(15).reshape(3, 5))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_heat_that_is_not_finite_is_refused(value):
    heat = torch.rand(3, 5)
    heat[1, 2] = value
    with pytest.raises(VitError, match="1 of 15 cells"):
        overlay(noise(32, 32), heat)


@pytest.mark.parametrize("shape", [(5,), (1, 3, 5), (0, 5)])
def test_heat_of_another_shape_is_refused(shape):
    with pytest.raises(VitError, match=r"expected \(rows, cols\)"):
        overlay(noise(32, 32), torch.zeros(shape))


def test_a_side_too_small_for_text_is_refused():
    with pytest.raises(VitError, match="side=12"):
        overlay(noise(32, 32), torch.rand(2, 2), side=12)


def test_color_grows_brighter_and_clamps():
    table = color(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 2.0]]))
    assert table.shape == (1, 5, 3)
    assert table.dtype == torch.uint8
    assert (table[0, 0] == table[0, 1]).all()
    assert (table[0, 3] == table[0, 4]).all()
    assert table[0, 1].sum() < table[0, 2].sum() < table[0, 3].sum()


def test_contact_sheet_has_equal_gutters():
    inks = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sheet = contact_sheet([Image.new("RGB", (50, 30), ink) for ink in inks], columns=2)
    assert sheet.size == (3 * 12 + 2 * 50, 3 * 12 + 2 * 30)
    for ink, (x, y) in zip(inks, [(12, 12), (74, 12), (12, 54)], strict=True):
        assert sheet.getpixel((x, y)) == sheet.getpixel((x + 49, y + 29)) == ink
    assert sheet.getpixel((80, 60)) == (255, 255, 255)


def test_rows_of_a_contact_sheet_are_as_high_as_they_need() -> None:
    sheet = contact_sheet([noise(50, 30), noise(50, 80), noise(50, 20)], columns=2)
    assert sheet.size == (3 * 12 + 2 * 50, 3 * 12 + 80 + 20)


def test_contact_sheet_chooses_columns_for_a_square_sheet():
    assert contact_sheet([noise(80, 40)] * 8).size == (2 * 92 + 12, 4 * 52 + 12)


def test_contact_sheet_of_nothing_is_refused():
    with pytest.raises(VitError, match="0 pictures"):
        contact_sheet([])
    with pytest.raises(VitError, match="columns=0"):
        contact_sheet([noise(3, 5)], columns=0)


def test_the_marked_patch_is_outlined_and_out_of_the_range() -> None:
    heat = torch.full((3, 5), 0.1)
    heat[0, 1], heat[2, 4] = 0.2, 50.0  # the value of the query patch is far above all others
    picture = Image.new("RGB", (160, 96), (90, 90, 90))
    plain, marked = overlay(picture, heat, side=320), overlay(picture, heat, side=320, mark=(2, 4))
    assert plain.size == marked.size
    margin, gap = 15, 12  # as letters of 12.3 pixels have them
    middle = (margin + 320 + gap + 64 + 32, margin + 32)  # of patch 0,1
    assert plain.getpixel(middle)[0] < 60 < marked.getpixel(middle)[0]
    corner = (margin + 4 * 64 + 1, margin + 2 * 64 + 1)  # of the marked patch, in the first panel
    assert marked.getpixel(corner) != plain.getpixel(corner)
    with pytest.raises(VitError, match=r"mark is \(3, 0\), expected \(0, 0\) to \(2, 4\)"):
        overlay(picture, heat, mark=(3, 0))
