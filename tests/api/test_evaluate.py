"""`vit.evaluate` returns the very object that `vit evaluate --json` prints."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vit
from vit.cli import main


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *words, "--json"]) in (0, 3)
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of noise for two digits, with a broken file."""
    folder = tmp_path_factory.mktemp("data")
    noise = torch.Generator().manual_seed(3)
    for label in ("3", "5"):
        (folder / label).mkdir()
        for number in range(12):
            pixels = torch.randint(0, 256, (8, 8), generator=noise, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(folder / label / f"{number}.png")
    (folder / "5" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    return folder


CASES: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--split", "val", "--flip"], {"split": "val", "flip": True}),
    (["--data", "DATA"], {"data": "DATA"}),
    (["--attribution", "--methods", "raw,rollout", "--pictures", "7", "--steps", "3"],
     {"attribution": True, "methods": ["raw", "rollout"], "pictures": 7, "steps": 3}),
    (["--corruptions", "--pictures", "5"], {"corruptions": True, "pictures": 5}),
    (["--data", "DATA", "--unknown", "DATA"], {"data": "DATA", "unknown": "DATA"}),
    (["--data", "DATA", "--probe", "knn", "--per-class", "3", "--repeats", "2"],
     {"data": "DATA", "probe": "knn", "per_class": 3, "repeats": 2}),
    (["--data", "DATA", "--image-size", "16"], {"data": "DATA", "image_size": 16}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "options"), CASES, ids=lambda value: " ".join(value) or "plain")
def test_it_is_what_the_command_prints(
    words: list[str],
    options: dict[str, Any],
    digits_run: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(data) if word == "DATA" else word for word in words]
    options = {name: data if value == "DATA" else value for name, value in options.items()}
    expected = printed(capsys, str(digits_run), *words)
    assert vit.evaluate(digits_run, **options) == expected
    assert capsys.readouterr() == ("", "")
    model = vit.load_model(digits_run)
    preprocess = model.preprocess
    assert vit.evaluate(model, **options) == expected, "a model knows what it was loaded from"
    assert model.preprocess == preprocess


def test_texts(texts_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(texts_run.parents[1])
    assert vit.evaluate("runs/words") == printed(capsys, "runs/words")


def test_the_folder_of_output(digits_run: Path, tmp_path: Path) -> None:
    figures = vit.evaluate(digits_run, output=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == figures
    with pytest.raises(vit.VitError, match="is not empty: --overwrite"):
        vit.evaluate(digits_run, output=tmp_path / "out")
    vit.evaluate(digits_run, output=tmp_path / "out", overwrite=True)


WRONG: list[tuple[list[str], dict[str, Any]]] = [
    (["--split", "tst"], {"split": "tst"}),
    (["--batch-size", "0"], {"batch_size": 0}),
    (["--methods", "raw"], {"methods": ["raw"]}),
    (["--attribution", "--methods", "rawest"], {"attribution": True, "methods": ["rawest"]}),
    (["--probe", "lin"], {"probe": "lin"}),
    (["--per-class", "3"], {"per_class": 3}),
    (["--probe", "knn", "--flip"], {"probe": "knn", "flip": True}),
    (["--probe", "knn", "--repeats", "3"], {"probe": "knn", "repeats": 3}),
    (["--overwrite"], {"overwrite": True}),
    (["--image-size", "17"], {"image_size": 17}),
    (["--data", "none"], {"data": "none"}),
]


@pytest.mark.parametrize(("words", "options"), WRONG, ids=lambda value: " ".join(value))
def test_messages_are_those_of_the_command(
    words: list[str], options: dict[str, Any], digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(digits_run), *words]) in (1, 2)
    with pytest.raises(vit.VitError) as caught:
        vit.evaluate(digits_run, **options)
    assert capsys.readouterr().err == f"vit: {' '.join(str(caught.value).split())}\n"


def test_a_model_that_was_loaded_from_nowhere(digits_run: Path, data: Path) -> None:
    model = vit.load_model(digits_run)
    expected = vit.evaluate(model, data)
    model.source = {}
    with pytest.raises(vit.VitError, match="--data is missing: the model does not say"):
        vit.evaluate(model)
    figures = vit.evaluate(model, data)
    assert figures["model"] == "the model"
    for name in ("accuracy", "n", "classes", "confusion", "skipped"):
        assert figures[name] == expected[name]
    model.train()
    with pytest.raises(vit.VitError, match=r"call model\.eval\(\)"):
        vit.evaluate(model, data)
