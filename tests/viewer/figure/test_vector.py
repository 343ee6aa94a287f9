"""Figures for print: well-formed files, vectors where they are promised, and the same bytes each time."""

import re
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from vit.viewer.figure.layout import figure
from vit.viewer.figure.look import STYLES, Look
from vit.viewer.figure.parts import Drawing
from vit.viewer.figure.vector import save_vector
from vit.viewer.fonts import print_font

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
HEAT = torch.rand(6, 10, generator=torch.Generator().manual_seed(1))


def drawn(title: str = "cat · 91 %", **look: object) -> Drawing:
    return figure(
        Image.fromarray(PIXELS), HEAT, title=title, caption="a.png", look=Look(**look), face=print_font
    )


@pytest.mark.parametrize("style", STYLES)
def test_svg(style: str, tmp_path: Path) -> None:
    drawing = drawn(style=style)
    file = tmp_path / "a.svg"
    save_vector(drawing, file)
    first = file.read_bytes()
    root = ElementTree.fromstring(first)
    width, height = (float(root.attrib[name].removesuffix("pt")) for name in ("width", "height"))
    assert (width, height) == pytest.approx((0.72 * drawing.width, 0.72 * drawing.height), abs=0.01)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert "image" in names
    cells = 0 if style == "contour" else HEAT.numel()
    assert names.count("path") >= cells
    save_vector(drawing, file)
    assert file.read_bytes() == first


def test_svg_of_squares_has_a_path_for_each_patch(tmp_path: Path) -> None:
    counts = []
    for smooth in (False, True):
        save_vector(drawn(style="over", smooth=smooth), tmp_path / "a.svg")
        counts.append((tmp_path / "a.svg").read_text().count("<path"))
    assert counts[0] - counts[1] > HEAT.numel() - 20  # the legend of a smooth one has more letters


@pytest.mark.parametrize("style", STYLES)
def test_pdf(style: str, tmp_path: Path) -> None:
    drawing = drawn(style=style)
    file = tmp_path / "a.pdf"
    save_vector(drawing, file)
    content = file.read_bytes()
    assert content.startswith(b"%PDF-")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", content)
    assert box is not None
    expected = (0.72 * drawing.width, 0.72 * drawing.height)
    assert tuple(map(float, box.groups())) == pytest.approx(expected, abs=0.01)
    assert b"/Subtype /Image" in content
    assert b"CreationDate" not in content
    save_vector(drawing, file)
    assert file.read_bytes() == content


def test_text_from_outside_is_drawn_as_it_is(tmp_path: Path) -> None:
    for title in ("$x_1$ & <b> 100 %", "猫 · 91 %", "bad\udcff byte", "a" * 900):
        for suffix in ("svg", "pdf"):
            save_vector(drawn(title), tmp_path / f"a.{suffix}")
    ElementTree.parse(tmp_path / "a.svg")


def test_the_picture_is_embedded_whole(tmp_path: Path) -> None:
    """In the PDF the photograph has its own pixels."""
    file = tmp_path / "a.pdf"
    save_vector(drawn(style="contour"), file)
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.read_bytes(), re.DOTALL)
    found = False
    for stream in streams:
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        found |= len(content) in (
            PIXELS.size,
            PIXELS.size + len(PIXELS),
        )  # with a byte per row of a predictor
    assert found
