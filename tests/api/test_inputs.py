"""Each kind of input gives the row of the command line; what is no picture is refused with what mends it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import Image, ImageOps

import vit
from vit.cli import main

from .messy import messy_folder

COUNT = 60
FIGURES = ("status", "label", "index", "score", "topk")


def command(verb: str, model: Path | str, inputs: Path, place: Path) -> list[dict[str, Any]]:
    """The rows that the command writes."""
    output = place / f"{verb}.jsonl"
    assert main([verb, str(model), str(inputs), "--output", str(output), "--overwrite"]) in (0, 3)
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.fixture(scope="module")
def model(digits_run: Path) -> Any:
    return vit.load_model(digits_run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messy_folder(tmp_path_factory.mktemp("messy"), COUNT)


@pytest.fixture(scope="module")
def expected(
    digits_run: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    rows = command("predict", digits_run, folder, tmp_path_factory.mktemp("rows"))
    assert len(rows) == COUNT
    assert len({row["status"] for row in rows}) >= 4, "of several kinds"
    return rows


def same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """The same but for the name, and the last digit of a score: batches may be others."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        assert (one["status"], one["label"], one["index"]) == (
            other["status"], other["label"], other["index"],
        )  # fmt: skip
        assert one["error"].replace(one["path"], "") == other["error"].replace(other["path"], "")
        assert one["score"] == pytest.approx(other["score"], abs=2e-6)
        assert len(one["topk"] or ()) == len(other["topk"] or ())
        for mine, its in zip(one["topk"] or (), other["topk"] or (), strict=True):
            assert mine["label"] == its["label"]
            assert mine["score"] == pytest.approx(its["score"], abs=2e-6)


def files(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    return [folder / row["path"] for row in rows]


def test_a_folder(model: Any, digits_run: Path, folder: Path, expected: list[dict[str, Any]]) -> None:
    for inputs in (folder, str(folder), [folder], [f"{folder}/"], (each for each in [folder])):
        assert list(vit.predict(model, inputs)) == expected
    assert list(vit.predict(digits_run, folder)) == expected


def test_paths_keep_their_order(model: Any, folder: Path, expected: list[dict[str, Any]]) -> None:
    paths = files(folder, expected)[::-1]
    rows = list(vit.predict(model, map(str, paths)))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    same(rows, expected[::-1])
    twice = list(vit.predict(model, [paths[0], folder, paths[0]]))
    assert len(twice) == COUNT + 2
    assert twice[0] == twice[-1], "one row for each input, also for one that is repeated"
    assert twice[1]["path"] == f"{folder}/{expected[0]['path']}"


def test_bytes_and_open_files(model: Any, folder: Path, expected: list[dict[str, Any]]) -> None:
    contents = [path.read_bytes() for path in files(folder, expected)]
    rows = list(vit.predict(model, iter(contents)))
    assert [row["path"] for row in rows] == [str(number) for number in range(COUNT)]
    same(rows, expected)
    same(list(vit.predict(model, (io.BytesIO(content) for content in contents))), expected)
    same(list(vit.predict(model, contents[0])), expected[:1])


def opened(folder: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
    """The files that Pillow can begin to read."""
    for path, row in zip(files(folder, rows), rows, strict=True):
        try:
            yield Image.open(io.BytesIO(path.read_bytes())), row
        except PIL.UnidentifiedImageError:
            assert row["status"] != "ok"


def test_pil_pictures(model: Any, folder: Path, expected: list[dict[str, Any]]) -> None:
    pictures, rows = zip(*opened(folder, expected), strict=True)
    assert any(row["status"] == "truncated" for row in rows)
    same(list(vit.predict(model, pictures)), list(rows))
    same(list(vit.predict(model, pictures[0])), list(rows[:1]))


def plain(folder: Path, rows: list[dict[str, Any]]) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """The good pictures of one byte per channel, as RGB arrays that Pillow alone has made."""
    chosen = [
        (np.array(ImageOps.exif_transpose(picture).convert("RGB")), row)
        for picture, row in opened(folder, rows)
        if row["status"] == "ok" and picture.mode in ("RGB", "L")
    ]
    assert len(chosen) > 20
    arrays, good = zip(*chosen, strict=True)
    return list(arrays), list(good)


def test_arrays_and_tensors(model: Any, folder: Path, expected: list[dict[str, Any]]) -> None:
    arrays, good = plain(folder, expected)
    same(list(vit.predict(model, arrays)), good)
    same(list(vit.predict(model, (torch.from_numpy(array).permute(2, 0, 1) for array in arrays))), good)
    same(list(vit.predict(model, map(model.preprocess, arrays))), good)
    same(list(vit.predict(model, [array[::-1, ::-1].copy()[::-1, ::-1] for array in arrays])), good)
    same(list(vit.predict(model, np.stack([arrays[0]] * 3))), [good[0]] * 3)
    same(list(vit.predict(model, torch.stack([model.preprocess(arrays[0])] * 3))), [good[0]] * 3)


def test_kinds_together(model: Any, folder: Path, expected: list[dict[str, Any]]) -> None:
    arrays, good = plain(folder, expected)
    first = files(folder, good[:1])[0]
    mixed = [
        first,
        arrays[1],
        first.read_bytes(),
        model.preprocess(arrays[2]),
        "none.png",
        Image.open(io.BytesIO(first.read_bytes())),
    ]
    *rows, missing, last = vit.predict(model, mixed)
    same([*rows, last], [good[0], good[1], good[0], good[2], good[0]])
    assert (missing["path"], missing["status"], missing["label"]) == ("none.png", "missing", None)


def test_vectors(model: Any, digits_run: Path, folder: Path, tmp_path: Path) -> None:
    theirs = command("embed", digits_run, folder, tmp_path)
    assert list(vit.embed(model, folder)) == theirs
    rows = list(vit.embed(digits_run, [path.read_bytes() for path in files(folder, theirs)]))
    for one, other in zip(rows, theirs, strict=True):
        assert one["status"] == other["status"]
        assert one["vector"] == pytest.approx(other["vector"], abs=1e-5)


def test_a_path_in_a_list_that_cannot_be_found_is_a_row(model: Any, tmp_path: Path) -> None:
    names = ["none.png", str(tmp_path / "*.png"), "https://example.org/cat.png", "nul\0.png", "-", "@list"]
    rows = list(vit.predict(model, names))
    assert [row["path"] for row in rows] == names
    assert {row["status"] for row in rows} == {"missing"}
    assert "a URL is not fetched: download it" in rows[2]["error"]
    assert "matches nothing" in rows[1]["error"]


@pytest.mark.parametrize("name", ["none.png", "none/*.png", "https://example.org/cat.png", "-"])
def test_a_path_alone_that_cannot_be_found_is_refused(model: Any, name: str) -> None:
    with pytest.raises(vit.VitError, match=r"no such file|matches nothing|not fetched"):
        vit.predict(model, name)


def test_archives_and_patterns(model: Any, folder: Path, pictures: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted(pictures.glob("*.png")):
            archive.write(file, file.name)
    rows = list(vit.predict(model, [tmp_path / "a.zip"]))
    assert [row["path"] for row in rows] == ["a.png", "b.png", "c-d.png", "c.png", "e.png"]
    same(list(vit.predict(model, [f"{pictures}/*.png", "none.png"]))[:-1], rows)


RGB = np.random.default_rng(3).integers(0, 256, (11, 13, 3), dtype=np.uint8)
BGR = np.ascontiguousarray(RGB[:, :, ::-1])
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "float, 0 to 1": (lambda: (RGB / 255).astype(np.float32), "(picture * 255).round().astype('uint8')"),
    "float, 0 to 255": (lambda: RGB.astype(np.float64), "picture.round().astype('uint8')"),
    "channels first": (lambda: RGB.transpose(2, 0, 1), "picture.transpose(1, 2, 0)"),
    "channels first and float": (
        lambda: RGB.transpose(2, 0, 1) / 255, "(picture.transpose(1, 2, 0) * 255).round().astype('uint8')",
    ),
    "16 bits": (lambda: RGB.astype(np.uint16) * 257, "(picture // 257).astype('uint8')"),
    "int64": (lambda: RGB.astype(np.int64), "picture.astype('uint8')"),
    "tensor, 0 to 1": (
        lambda: torch.from_numpy(RGB.copy()).permute(2, 0, 1) / 255,
        "(picture * 255).round().to(torch.uint8)",
    ),
    "tensor, 0 to 255": (
        lambda: torch.from_numpy(RGB.copy()).permute(2, 0, 1).float(), "picture.round().to(torch.uint8)",
    ),
    "tensor, channels last": (lambda: torch.from_numpy(RGB.copy()), "picture.permute(2, 0, 1)"),
    "tensor, half precision": (
        lambda: torch.from_numpy(RGB.copy()).permute(2, 0, 1).bfloat16() / 255,
        "(picture * 255).round().to(torch.uint8)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_the_line_in_the_message_mends_the_picture(model: Any, kind: str) -> None:
    make, line = REFUSED[kind]
    with pytest.raises(vit.VitError) as caught:
        list(vit.predict(model, [make()]))
    assert str(caught.value).endswith(f": pass {line}")
    mended = eval(line, {"picture": make(), "torch": torch})
    [row] = vit.predict(model, [mended])
    [right] = vit.predict(model, [RGB])
    if kind == "tensor, half precision":  # has lost digits
        assert row["score"] == pytest.approx(right["score"], abs=0.05)
    else:
        same([row], [right])


def test_pictures_with_alpha_or_one_channel(model: Any) -> None:
    alpha = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    with pytest.raises(vit.VitError, match=r"pass PIL\.Image\.fromarray\(picture\)$"):
        list(vit.predict(model, [alpha]))
    with pytest.raises(vit.VitError, match=r"pass picture\[:, :, 0\]$"):
        list(vit.predict(model, [RGB[:, :, :1]]))
    same(list(vit.predict(model, [Image.fromarray(alpha)])), list(vit.predict(model, [RGB])))


def test_an_opencv_picture_said_to_be_bgr(model: Any) -> None:
    with pytest.raises(vit.VitError) as caught:
        vit.predict(model, [BGR], channels="BGR")
    line = "picture[:, :, ::-1]"
    assert f"pass {line}, or cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)" in str(caught.value)
    same(list(vit.predict(model, [eval(line, {"picture": BGR})])), list(vit.predict(model, [RGB])))


def test_a_normalised_picture_of_another_model_is_refused(model: Any) -> None:
    mean, std = 0.485, 0.229
    grey = torch.randint(0, 256, (1, 8, 8)) / 255
    for other in ((grey - mean) / std, grey, grey * 255):
        with pytest.raises(vit.VitError, match=r"what model\.preprocess"):
            list(vit.predict(model, [other.float()]))


@pytest.mark.parametrize(
    "thing", [np.zeros((5,), np.uint8), np.zeros((0, 4, 3), np.uint8), np.full((3, 4, 3), np.nan), "object"]
)
def test_what_no_line_can_mend(model: Any, thing: Any) -> None:
    with pytest.raises(vit.VitError, match="expected"):
        list(vit.predict(model, [object() if isinstance(thing, str) else thing]))
    with pytest.raises(vit.VitError, match="inputs is an int"):
        vit.predict(model, 3)


@pytest.mark.slow
def test_500_files_on_a_model_of_real_pictures(tmp_path: Path) -> None:
    """Every kind of input, on the shipped model, against the command line."""
    folder = messy_folder(tmp_path / "messy", 500)
    theirs = command("predict", "cifar10", folder, tmp_path)
    model = vit.load_model("cifar10", precision="auto")
    assert list(vit.predict("cifar10", folder)) == theirs
    same(list(vit.predict(model, files(folder, theirs))), theirs)
    same(list(vit.predict(model, (path.read_bytes() for path in files(folder, theirs)))), theirs)
    pictures, rows = zip(*opened(folder, theirs), strict=True)
    same(list(vit.predict(model, pictures)), list(rows))
    arrays, good = plain(folder, theirs)
    same(list(vit.predict(model, arrays)), good)
    same(list(vit.predict(model, [torch.from_numpy(array).permute(2, 0, 1) for array in arrays])), good)
    same(list(vit.predict(model, map(model.preprocess, arrays))), good)
