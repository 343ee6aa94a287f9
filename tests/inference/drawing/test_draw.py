"""`vit attend`: what stands in the folder afterwards; and `vit evaluate --attribution`."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

import vit
from vit.attribution.roster import METHODS
from vit.cli import main
from vit.inference.page import view_of
from vit.inference.reading import read_image
from vit.viewer import page


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws(method: str, digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "o"), "--method", method]
    words += ["--samples", "9"] if method == "rise" else []
    assert main([*words, "--pages", "0"]) == 0
    found = rows(tmp_path / "o" / "attend.csv")
    assert len(found) == 7
    for row in found:
        assert (tmp_path / "o" / row["overlay"]).is_file()
        assert row["page"] == ""
        assert row["explained"] == (row["label"] if METHODS[method].explains_class else "")
        if method in ("raw", "rollout"):
            assert 0 < float(row["class_mass"]) < 1
            assert row["register_mass"] == ""  # it has none
        else:
            assert row["class_mass"] == ""


def test_pages_for_the_first(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "b.png").write_text("no picture")
    words = ["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "o"), "--pages", "2"]
    assert main([*words, "--batch-size", "2"]) == 3
    found = rows(tmp_path / "o" / "attend.csv")
    assert [row["page"] for row in found] == ["a.png.html", "", "c-d.png.html", "", "", "", ""]
    text = (tmp_path / "o" / "a.png.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in text
    assert "legrad" in text


def test_a_bad_neighbour_changes_no_map(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["attend", str(digits_run), str(pictures), "--method", "legrad", "--pages", "0", "--output"]
    assert main([*words, str(tmp_path / "good")]) == 0
    (pictures / "b.png").write_text("no picture")
    assert main([*words, str(tmp_path / "bad")]) == 3
    for name in ("a.png.png", "c.png.png", "deep/z.png.png"):
        assert (tmp_path / "good" / name).read_bytes() == (tmp_path / "bad" / name).read_bytes()


def test_overwriting_leaves_nothing_of_before(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    output = tmp_path / "o"
    words = ["--output", str(output), "--pages"]
    assert main(["attend", str(digits_run), "a.png", "b.png", *words, "1", "--score"]) == 0
    (output / "mine.txt").write_text("kept")
    assert main(["attend", str(digits_run), "c.png", *words, "0", "--overwrite"]) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "attend.csv",
        "c.png.png",
        "index.html",
        "mine.txt",
        "sheet.png",
    ]


def test_names_that_collide_or_are_too_long(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "a.png").rename(pictures / "sheet")
    (pictures / "b.png").rename(pictures / ("x" * 248 + ".png"))
    monkeypatch.chdir(pictures)
    names = ["sheet", "x" * 248 + ".png"]
    assert main(["attend", str(digits_run), *names, "--output", str(tmp_path / "o")]) == 0
    found = rows(tmp_path / "o" / "attend.csv")
    assert found[0]["overlay"] == "_sheet.png"
    for row in found:
        assert (tmp_path / "o" / row["overlay"]).stat().st_size > 0
        assert len(row["page"]) <= 255
    sizes = []
    for name in ("sheet.png", "_sheet.png"):
        with Image.open(tmp_path / "o" / name) as picture:
            sizes.append(picture.size)
    assert sizes[0] != sizes[1]


def test_nothing_is_written_before_the_words_are_good(
    digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "o")]
    for more in (["--query", "9,9"], ["--discard", "2"], ["--method", "raw", "--head", "9"], ["--side", "5"]):
        assert main([*words, *more]) in (1, 2)
        assert not (tmp_path / "o").exists()


def test_the_page_opens_on_what_was_asked(digits_run: Path, pictures: Path) -> None:
    model = vit.load_model(digits_run)
    with Image.open(pictures / "a.png") as picture:
        window = model.preprocess.window(picture)
    image = model.preprocess(window)
    heat = vit.attend(model, image[None], "occlusion", 5)[0]
    token = model.prefix + model.grid(image[None])[1] + 2  # of patch 1,2
    view = view_of(
        read_image(model, image, window), name="a", target=5, query=token, shown_map=("occlusion", heat)
    )
    assert view.start.shown == "occlusion"
    assert view.classes[view.start.chosen][0] == "5"
    assert view.start.query == token
    assert '"shown":"method' in page(view)
    view = view_of(read_image(model, image, window), name="a", layer=-1, head=2, fusion="max", discard=0.4)
    assert (view.start.layer, view.start.head) == (1, 2)
    assert '"source":{"layer":1,"head":2},"fusion":"max","discard":0.4' in page(view)


def test_a_target_is_explained(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["attend", str(digits_run), str(pictures), "--method", "relevance", "--target", "7"]
    assert main([*words, "--output", str(tmp_path / "o")]) == 0
    assert {row["explained"] for row in rows(tmp_path / "o" / "attend.csv")} == {"7"}


def test_scores(digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["attend", str(digits_run), str(pictures), "--method", "grad_rollout", "--score"]
    assert main([*words, "--output", str(tmp_path / "o"), "--batch-size", "3"]) == 0
    found = rows(tmp_path / "o" / "faithfulness.csv")
    assert {row["method"] for row in found} == {"grad_rollout", "random", "centre"}
    assert {row["baseline"] for row in found} == {"mean color", "blur"}
    assert {row["n"] for row in found} == {"7"}
    assert "LeRF - MoRF" in capsys.readouterr().out


def test_evaluate_attribution(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(digits_run), "--attribution", "--pictures", "5", "--steps", "4"]
    assert main([*words, "--methods", "rollout, legrad", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"] >= 0
    assert [row["method"] for row in figures["attribution"][:4]] == ["rollout", "legrad", "random", "centre"]
    assert {row["n"] for row in figures["attribution"]} == {5}
    assert main([*words, "--methods", "raw"]) == 0
    out = capsys.readouterr().out
    assert "faithfulness of maps for the predicted class, test, n = 5" in out
    assert "shuffled" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--method", "rollout", "--samples", "3"],
            "--samples is not an option of rollout, which takes --fusion",
        ),
        (["--method", "relevance", "--fusion", "max"], "which takes no option"),
        (["--method", "raw", "--layer", "9"], "layer is 9, expected 0 to 1"),
        (["--method", "legrad", "--target", "horse"], "target is horse"),
        (["--pages", "-1"], "--pages is -1"),
        (["--method", "rollout", "--discard", "1.5"], "discard is 1.5, expected a share"),
    ],
)
def test_bad_words(
    words: list[str],
    message: str,
    digits_run: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "o"), *words]) in (1, 2)
    assert message in capsys.readouterr().err


def test_methods_of_evaluate_are_checked(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(digits_run), "--pictures", "5"]) == 2
    assert "--pictures is an option of --attribution" in capsys.readouterr().err
    assert main(["evaluate", str(digits_run), "--attribution", "--methods", "lime"]) == 2
    assert "'lime', expected some of: raw, rollout" in capsys.readouterr().err


def test_the_page_says_what_python_says(digits_run: Path, pictures: Path) -> None:
    model = vit.load_model(digits_run)
    with Image.open(pictures / "a.png") as picture:
        window = model.preprocess.window(picture)
    image = model.preprocess(window)
    view = view_of(read_image(model, image, window), name="a.png", target=3)
    assert view.maps["rollout"].shape == (1, len(view.read) - view.prefix)
    expected = vit.attend(model, image[None]).flatten()
    assert (view.maps["rollout"][0] - expected).abs().max() <= 1e-6
    labels = [label for label, _ in view.classes]
    assert "3" in labels
    relevance = vit.attend(model, image[None], "relevance", "3").flatten()
    assert (view.maps["relevance"][labels.index("3")] - relevance).abs().max() <= 1e-6
    assert view.lens is not None
    assert view.lens.shape == (len(expected), len(labels))
    assert view.prefix_names == ["class"]
