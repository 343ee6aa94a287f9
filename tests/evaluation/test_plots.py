"""Plots of classes and of calibration, and class names in any script."""

import pytest
import torch
from PIL import Image

from vit.evaluation.calibration import reliability
from vit.evaluation.plots.drawing import NUMBERED, cut, png, short_names
from vit.evaluation.plots.figures import classes, confusion, reliability_diagram, wrongest
from vit.viewer import fonts

from .test_report import drawn

SCRIPTS = ["猫", "고양이", "ライオン", "dog"]
MATRIX = torch.tensor([[5, 1, 0, 0], [2, 3, 0, 0], [0, 0, 7, 0], [1, 0, 0, 0]])
needs_cjk = pytest.mark.skipif(
    not fonts.system_fonts(), reason="no font of vit.viewer.fonts.CJK_FONTS is installed"
)


def families(figure) -> dict[str, list[str]]:
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontfamily") and artist.get_visible())
    return {text.get_text(): text.get_fontfamily() for text in texts}


def test_classes_are_sorted_by_f1() -> None:
    figure = classes(MATRIX, ["a", "b", "c", "d"])
    words = drawn(figure)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["d", "b", "a", "c"]
    precision, recall = (line.get_xdata() for line in axes.lines)
    assert precision == pytest.approx([0, 75, 62.5, 100])
    assert recall == pytest.approx([0, 60, 100 * 5 / 6, 100])
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0, 200 / 3, 500 / 7, 100])
    assert {"n = 1", "n = 5", "n = 6", "n = 7"} <= set(words)


def test_many_classes_are_the_worst_ones() -> None:
    confusion = torch.diag(torch.arange(53))  # the first class has no example
    confusion[7, 8] = 99
    words = drawn(classes(confusion, [f"class {index}" for index in range(53)]))
    assert "The 40 classes with the lowest F1, of 52" in words
    assert "class 7" in words
    assert "class 0" not in words
    assert "No class has examples." in drawn(classes(torch.zeros(2, 2, dtype=torch.long), ["a", "b"]))


def test_reliability_draws_the_bins() -> None:
    scores = torch.tensor([0.31, 0.35, 0.93, 0.97, 0.99])
    right = torch.tensor([True, False, True, True, False])
    model, scaled = reliability(scores, right, 5), reliability(scores**2, right, 5)
    figure = reliability_diagram(model, scaled, 1.5)
    words = drawn(figure)
    assert f"scores of the model:\ncalibration error {100 * model.error:.1f} %" in words
    assert f"with temperature 1.5:\ncalibration error {100 * scaled.error:.1f} %" in words
    line = figure.axes[0].lines[1]
    assert line.get_xdata() == pytest.approx([33, 100 * 2.89 / 3], abs=1e-4)
    assert line.get_ydata() == pytest.approx([50, 200 / 3])
    assert not any("temperature" in word for word in drawn(reliability_diagram(model)))


@needs_cjk
@pytest.mark.parametrize("draw", [confusion, classes])
def test_chinese_japanese_and_korean_are_drawn(draw) -> None:
    figure = draw(MATRIX, SCRIPTS)
    words = drawn(figure)
    assert set(SCRIPTS) <= set(words)
    assert NUMBERED not in words
    found = families(figure)
    assert len(found["猫"]) > 1, "a font of the system is asked after matplotlib's own"
    assert len(found["dog"]) == 1
    one, other = (png(draw(MATRIX, [*SCRIPTS[:3], name]), dpi=50) for name in ("犬", "馬"))
    assert one != other, "two characters that no font has would be the same box"


@pytest.mark.parametrize("draw", [confusion, classes])
def test_without_a_font_names_are_numbers(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    words = drawn(draw(MATRIX, SCRIPTS))
    assert {"#0", "#1", "#2", "dog"} <= set(words)
    assert NUMBERED == "class names are numbered: no font has their characters"
    assert NUMBERED in words


def test_a_character_without_a_font_is_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    words = drawn(wrongest([Image.new("L", (3, 5))], ["dog"], ["#1"], [0.9], ["猫.png"], remark=NUMBERED))
    assert {"□.png", NUMBERED} <= set(words)


def test_long_names() -> None:
    assert cut("a" * 18) == "a" * 18
    assert cut("a" * 10 + "b" * 10) == "aaaaaaaaa…bbbbbbbb"
    assert cut("猫" * 9) == "猫" * 9
    assert cut("猫" * 10) == "猫猫猫猫…猫猫猫猫"  # two cells each
    long = "a very long beginning of a name, "
    assert short_names([long + "x, and a long end", "b", long + "y, and a long end"]) == [
        "a very…ong end #0", "b", "a very…ong end #2",
    ]  # fmt: skip
