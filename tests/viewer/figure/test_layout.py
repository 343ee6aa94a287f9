"""Figures of maps on whole pictures: what lies where, in each style."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.viewer.figure.heat import _highest, _outlines, smoothed
from vit.viewer.figure.layout import figure
from vit.viewer.figure.look import SINKS, STYLES, Look
from vit.viewer.figure.panel import fit
from vit.viewer.figure.parts import Drawing, Picture, Shape, Words
from vit.viewer.figure.raster import raster
from vit.viewer.fonts import font, print_font
from vit.viewer.scale import scale


def photograph(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def words(drawing: Drawing) -> list[str]:
    return [part.text for part in drawing.parts if isinstance(part, Words)]


def last_panel(drawing: Drawing) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the picture below the map."""
    part = [part for part in drawing.parts if isinstance(part, Picture) and part.image.mode == "RGB"][-1]
    return part.left, part.top, part.left + part.width, part.top + part.height


HEAT = torch.linspace(0, 1, 35).reshape(5, 7)


@pytest.mark.parametrize(("style", "sinks", "smooth"), list(itertools.product(STYLES, SINKS, (False, True))))
@pytest.mark.parametrize("size", [(32, 32), (640, 200), (90, 700), (1500, 1000), (3, 1)])
def test_every_look_draws_every_size(style: str, sinks: str, smooth: bool, size: tuple[int, int]) -> None:
    cells = torch.zeros(5, 7, dtype=torch.bool)
    cells[1, 2] = True
    look = Look(style=style, sinks=sinks, smooth=smooth, side=256)
    seen = tuple(Preprocess(30, 42).seen(size[1], size[0]))
    drawing = figure(
        photograph(*size), HEAT, title="cat", caption="a.png", mark=(2, 3), seen=seen, sinks=cells, look=look
    )
    page = raster(drawing)
    assert page.size == (drawing.width, drawing.height)
    pixels = np.array(page)
    for border in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (border == 255).all()


@pytest.mark.parametrize("style", ["side", "over", "mask"])
@pytest.mark.parametrize("size", [(451, 300), (300, 451), (700, 700)])
def test_a_hot_patch_lies_where_the_model_saw_it(style: str, size: tuple[int, int]) -> None:
    width, height = size
    preprocess = Preprocess(70, 70, crop=0.875)
    seen = preprocess.seen(height, width)
    rows, cols = 7, 7
    grey = Image.new("RGB", size, (128, 128, 128))
    for row, col in [(0, 0), (6, 6), (2, 5)]:
        heat = torch.zeros(rows, cols)
        heat[row, col] = 1
        hot = figure(grey, heat, seen=tuple(seen), look=Look(style=style))
        left, top, right, bottom = last_panel(hot)
        pixels = np.array(raster(hot)).astype(int)[top:bottom, left:right].sum(2)
        factor = (right - left) / width
        x = (seen.left + (col + 0.5) * (seen.right - seen.left) / cols) * factor
        y = (seen.top + (row + 0.5) * (seen.bottom - seen.top) / rows) * factor
        other = (seen.top + ((row + 3) % rows + 0.5) * (seen.bottom - seen.top) / rows) * factor
        assert pixels[int(y), int(x)] > pixels[int(other), int(x)] + 100
        half = 0.4 * (seen.right - seen.left) / cols * factor
        patch = pixels[int(y - half) : int(y + half), int(x - half) : int(x + half)]
        assert np.median(patch) == patch[len(patch) // 2, len(patch) // 2]


def test_photographs_keep_their_resolution_up_to_the_side() -> None:
    for size, shown in [((451, 300), (451, 300)), ((1500, 1000), (768, 512)), ((500, 768), (500, 768))]:
        left, top, right, bottom = last_panel(figure(photograph(*size), HEAT))
        assert (right - left, bottom - top) == shown


def test_small_pictures_are_enlarged_by_a_whole_number() -> None:
    picture = photograph(32, 24)
    drawing = figure(picture, HEAT)
    page = np.array(raster(drawing))
    part = next(part for part in drawing.parts if isinstance(part, Picture))
    shown = page[part.top : part.top + part.height, part.left : part.left + part.width]
    assert (shown == np.array(picture).repeat(12, 0).repeat(12, 1)).all()


def test_the_part_that_the_model_saw_is_untouched_and_the_rest_faded() -> None:
    picture = photograph(600, 400)
    seen = tuple(Preprocess(224, 224).seen(400, 600))
    drawing = figure(picture, HEAT, seen=seen)
    part = next(part for part in drawing.parts if isinstance(part, Picture))
    shown = np.array(raster(drawing))[part.top : part.top + 400, part.left : part.left + 600].astype(int)
    original = np.array(picture).astype(int)
    assert (shown[10:-10, 110:490] == original[10:-10, 110:490]).all()
    for outside in (slice(0, 97), slice(503, 600)):
        expected = original[:, outside] + (255 - original[:, outside]) * 185 / 255
        assert np.abs(shown[:, outside] - expected).max() <= 1
    assert "seen by the model" in words(drawing)
    assert "seen by the model" not in words(figure(picture, HEAT, seen=(0, 0, 600, 400)))


def test_a_border_is_a_part_of_the_panel() -> None:
    seen = tuple(Preprocess(224, 224, resize="pad").seen(300, 600))
    panel = fit(photograph(600, 300), seen, 768, 384)
    assert (panel.width, panel.height) == (600, 600)
    assert panel.place == (0, 150, 600, 300)
    assert panel.window == (0, 0, 600, 600)
    drawing = figure(photograph(600, 300), HEAT, seen=seen)
    assert "border around the picture" in words(drawing)


def test_wide_panels_stand_one_above_the_other() -> None:
    wide, square = (figure(photograph(*size), HEAT) for size in ((700, 200), (400, 400)))
    first, second = [part for part in wide.parts if isinstance(part, Picture) and part.image.mode == "RGB"]
    assert first.left == second.left
    assert second.top > first.top + first.height
    first, second = [part for part in square.parts if isinstance(part, Picture) and part.image.mode == "RGB"]
    assert first.top == second.top


def test_sinks_are_marked_and_set_apart() -> None:
    heat = HEAT.clone()
    heat[1, 2] = 30.0
    cells = torch.zeros(5, 7, dtype=torch.bool)
    cells[1, 2] = True
    kept = figure(photograph(200, 200), heat, sinks=cells, percent=True)
    assert "sink of attention 1,2 (3e+03 %)" in words(kept)
    assert "98th pct." in words(kept)
    apart = figure(photograph(200, 200), heat, sinks=cells, look=Look(sinks="set-apart"))
    assert "sink of attention 1,2 (30), set apart" in words(apart)
    assert "98th pct." not in words(apart)
    assert "1" in words(apart)  # the largest value of the others, at the bar
    with pytest.raises(VitError, match=r"sinks has shape \(7, 5\), expected that of heat, \(5, 7\)"):
        figure(photograph(32, 32), heat, sinks=cells.T)


def test_clipped_patches_are_marked_and_counted() -> None:
    heat = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    heat[4, 4], heat[8, 8] = 99.0, 88.0
    sinks = torch.zeros(16, 16, dtype=torch.bool)
    sinks[4, 4] = True
    above = int(scale(heat).above.sum())
    drawing = figure(photograph(300, 300), heat, sinks=sinks)
    assert f"{above - 1} patches above the scale, up to 88" in words(drawing)
    triangles = [part for part in drawing.parts if isinstance(part, Shape) and len(part.points) == 3]
    assert len(triangles) == 2 * (above - 1) + 2 + 1  # with edges; one in the legend; the end of the bar


@pytest.mark.parametrize("face", [font, print_font])
def test_a_long_legend_stays_inside_the_figure(face: Callable[..., Any]) -> None:
    sinks = torch.rand(16, 16) > 0.5
    look = Look(style="contour", sinks="set-apart", smooth=True)
    drawing = figure(photograph(90, 300), torch.randn(16, 16), sinks=sinks, look=look, face=face)
    for part in drawing.parts:
        if isinstance(part, Words):
            assert part.x + face(part.size, part.text).getlength(part.text) <= drawing.width - 20


def test_letters_do_not_grow_beyond_the_picture() -> None:
    sizes = []
    for side in (384, 768, 3000):
        drawing = figure(photograph(400, 300), HEAT, caption="a", look=Look(side=side))
        sizes.append(
            next(part.size for part in drawing.parts if isinstance(part, Words) and part.text == "a")
        )
    assert sizes[0] < sizes[1] == sizes[2]


def test_values_in_percent() -> None:
    shown = words(figure(photograph(64, 64), HEAT / 100, percent=True))
    assert "1 %" in shown
    assert "0 %" in shown


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_contours_hold_the_highest_share(share: float) -> None:
    heat = torch.rand(16, 16, generator=torch.Generator().manual_seed(3))
    measured = scale(heat)
    inside = _highest(measured, share)
    assert inside.sum() == round(share * 256)
    assert heat.numpy()[inside].min() >= heat.numpy()[~inside].max()


def test_outlines_enclose_exactly_their_cells() -> None:
    inside = np.random.default_rng(1).random((9, 11)) > 0.6
    area, length = 0.0, 0
    for points in _outlines(inside):
        x, y = points.T
        area += (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2  # of holes negative
        length += len(points)
    assert area == inside.sum()
    padded = np.pad(inside, 1).astype(int)
    assert length == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()


def test_a_smoothed_map_has_the_value_of_a_patch_at_its_centre() -> None:
    values = torch.linspace(0, 1, 12).reshape(3, 4)
    fine = smoothed(scale(values), np.zeros((3, 4), dtype=bool), 3 * 9, 4 * 9)
    torch.testing.assert_close(fine[4::9, 4::9], values, rtol=0, atol=0.02)


def test_a_cell_set_apart_does_not_shine_on_its_neighbours() -> None:
    heat = torch.full((5, 5), 0.5)
    heat[0, 0], heat[4, 4], heat[2, 2] = 0.0, 1.0, 50.0
    apart = torch.zeros(5, 5, dtype=torch.bool)
    apart[2, 2] = True
    assert smoothed(scale(heat, apart), apart.numpy(), 50, 50)[15:35, 15:35].max() < 0.6


def test_flat_maps_have_no_contour() -> None:
    for smooth in (False, True):
        drawing = figure(photograph(64, 64), torch.ones(4, 4), look=Look(style="contour", smooth=smooth))
        lines = [part for part in drawing.parts if isinstance(part, Shape) and part.line]
        assert len(lines) == 2  # of the legend


def test_bad_looks_are_refused() -> None:
    for arguments, message in [
        ({"style": "heat"}, "style is 'heat', expected one of: side, over, contour, mask"),
        ({"sinks": "drop"}, "sinks is 'drop', expected one of: keep, set-apart"),
        ({"side": 12}, "side=12 pixels"),
    ]:
        with pytest.raises(VitError, match=message):
            Look(**arguments)
