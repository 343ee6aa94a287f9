"""`vit attend` on images: styles, sinks, files for print, and overlays on the picture itself."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.commands import attend
from vit.data.preprocess import Preprocess
from vit.inference.drawing.draw import Request
from vit.inference.drawing.images import ImageDrawer
from vit.inputs.decoding import Content
from vit.inputs.images import DecodedImage
from vit.inputs.shown import Shown
from vit.viewer.figure.look import SINKS, STYLES
from vit.viewer.figure.vector import FORMATS

from ...towers import vision_tower


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "attend.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def draw(run: Path, pictures: Path, folder: Path, *words: str) -> int:
    return main(
        [
            "attend",
            str(run),
            str(pictures),
            "--output",
            str(folder),
            "--pages",
            "0",
            "--method",
            "rollout",
            *words,
        ]
    )


def test_choices_are_those_of_the_viewer() -> None:
    assert tuple(STYLES) == attend.STYLES
    assert attend.SINKS == SINKS
    assert ("png", *FORMATS) == attend.FORMATS


@pytest.mark.parametrize("style", STYLES)
def test_every_style(style: str, digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["--style", style, "--smooth", "--sinks", "set-apart", "--side", "200"]
    assert draw(digits_run, pictures, tmp_path / "o", *words) == 0
    for row in rows(tmp_path / "o"):
        with Image.open(tmp_path / "o" / row["overlay"]) as overlay:
            assert overlay.width > (400 if style == "side" else 190)
        assert row["sinks"] == "0"  # 16 patches are too few
        assert float(row["sink_mass"]) == 0
        assert "print" not in row
    assert (tmp_path / "o" / "sheet.png").is_file()


@pytest.mark.parametrize("kind", FORMATS)
def test_files_for_print(
    kind: str, digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    folder = tmp_path / "o"
    assert draw(digits_run, Path("a.png"), folder, "--format", kind) == 0
    (row,) = rows(folder)
    assert (row["overlay"], row["print"]) == ("a.png.png", f"a.png.{kind}")
    assert (folder / row["print"]).stat().st_size > 1000
    assert draw(digits_run, Path("b.png"), folder, "--overwrite") == 0
    assert not (folder / row["print"]).exists()


def test_a_turned_picture_is_drawn_upright(digits_run: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    for name in ("upright", "turned"):
        (tmp_path / name).mkdir()
    picture.save(tmp_path / "upright" / "a.png")
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned" / "a.png", exif=exif)
    drawn = []
    for name in ("upright", "turned"):
        assert draw(digits_run, tmp_path / name, tmp_path / "o" / name, "--method", "legrad") == 0
        drawn.append((tmp_path / "o" / name / "a.png.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_the_overlay_shows_the_whole_picture(digits_run: Path, tmp_path: Path) -> None:
    """The model reads 8 x 8 pixels from its middle; the overlay has all of its own, 2 panels of 500 x 400."""
    pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    assert draw(digits_run, tmp_path / "in", tmp_path / "o") == 0
    with Image.open(tmp_path / "o" / "a.png.png") as overlay:
        page = np.asarray(overlay.convert("RGB"))
    seen = vit.load_model(digits_run).preprocess.seen(400, 500)
    assert seen == (50, 0, 450, 400)
    inside = pixels[10:390, 60:440]
    margin = 20  # round(1.2 * (9 + 768 / 96))
    assert (page[margin + 10 : margin + 390, margin + 60 : margin + 440] == inside).all()


def test_options_of_images_are_refused_for_texts(
    texts_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["attend", str(texts_run), "--text", "a fine film", "--output", str(tmp_path / "o")]
    for more in (["--style", "over"], ["--smooth"], ["--sinks", "set-apart"], ["--format", "svg"]):
        assert main([*words, *more]) == 2
        assert f"{more[0]} applies to image models only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--style", "heat"], "style"), (["--sinks", "drop"], "sinks"), (["--format", "eps"], "format")],
)
def test_unknown_choices(
    words: list[str], message: str, digits_run: Path, pictures: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert draw(digits_run, pictures, tmp_path / "o", *words) == 2
    assert f"--{message}" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_patches_that_leave_out_the_last_pixels_lie_where_they_are() -> None:
    """Of 30 pixels, patches of 4 cover 28."""
    model = vision_tower(0, (28, 28), patch_size=(4, 4), width=16, depth=1, heads=2, trim=True).eval()
    model.preprocess = Preprocess(30, 30)
    whole = Shown(np.zeros((60, 100, 3), dtype=np.uint8), 120, 200)  # at half of its resolution
    item = DecodedImage(Content("a.png", b""), "ok", "", torch.zeros(3, 30, 30, dtype=torch.uint8), whole)
    picture, seen = ImageDrawer(model, Request())._shown(item, torch.zeros(model.grid(item.pixels[None])))
    assert picture.size == (100, 60)
    assert seen == pytest.approx((20, 0, 20 + 56, 56))
