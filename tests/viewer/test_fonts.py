"""Which font draws a text, with and without a font for Chinese, Japanese and Korean on the system."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from vit.viewer import fonts

CJK = fonts.system_fonts()
needs_cjk = pytest.mark.skipif(not CJK, reason="no font of vit.viewer.fonts.CJK_FONTS is installed")


def ink(text: str) -> bytes:
    face = fonts.font(24, text)
    image = Image.new("L", (60, 40))
    ImageDraw.Draw(image).text((5, 5), text, 255, face)
    return image.tobytes()


def test_plain_letters_need_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "system_fonts", lambda: pytest.fail("searched"))
    assert fonts.font(12, "plain … ·").getname()[0] == fonts.font(12).getname()[0]
    assert fonts.font(12, "café Ωж").getname()[0] == "DejaVu Sans"
    assert fonts.missing("café Ωж") == ""


@needs_cjk
def test_a_font_of_the_system_is_found() -> None:
    assert fonts.font(12, "猫 and dog").getname()[0] != "DejaVu Sans"
    assert fonts.missing("猫 ライオン") == ""
    assert fonts.boxed("猫 ลิง") == "猫 □□□"  # Thai is in none of the fonts
    assert len({ink("猫"), ink("犬"), ink("□")}) == 3, "drawn as themselves, not as one box"


def test_without_such_a_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    assert fonts.font(12, "猫 and dog").getname()[0] == "DejaVu Sans"
    assert fonts.missing("猫 and 犬, 猫") == "猫犬"
    assert fonts.boxed("猫 and dog") == "□ and dog"


def test_the_search_goes_by_the_names_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["/fonts/malgun.ttf", "/fonts/other.ttf", "/elsewhere/NotoSansCJK-Regular.ttc"]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: files)
    fonts._installed.cache_clear()
    try:
        assert fonts.system_fonts() == [Path(files[2]), Path(files[0])]
    finally:
        fonts._installed.cache_clear()
