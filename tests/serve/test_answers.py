"""What a server answers is what the commands write, and every refusal has words."""

import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from .serving import client_of, files, picture  # first: it skips where nothing serves

import vit  # isort: skip
from vit.cli import main  # isort: skip

PHONE = Image.Exif()
PHONE[0x0112] = 6  # held upright: the pixels are stored on their side


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several formats, a phone's, broken ones, and names in several scripts."""
    folder = tmp_path_factory.mktemp("photos")
    contents = {
        "a.png": picture(1),
        "b.jpg": picture(2, "JPEG", size=(640, 480)),
        "phone.jpg": picture(3, "JPEG", size=(640, 360), exif=PHONE),
        "图片.webp": picture(4, "WEBP"),
        "снимок.bmp": picture(5, "BMP"),
        "cut.png": picture(6)[:-800],
        "text.png": b"this is no picture at all",
        "<b>&amp;'quoted'.gif": picture(7, "GIF"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def rows_of(verb: str, model: str, folder: Path, *words: str) -> list[dict[str, Any]]:
    """What the command writes."""
    output = folder.parent / f"{verb}.jsonl"
    assert main([verb, model, str(folder), "--output", str(output), "--overwrite", *words]) in (0, 3)
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def forms(folder: Path) -> list[tuple[str, tuple[str, bytes]]]:
    paths = sorted(folder.iterdir(), key=lambda path: path.name.encode())
    return files(*((path.name, path.read_bytes()) for path in paths))


def test_predictions_are_the_rows_of_the_command(client: Any, folder: Path) -> None:
    expected = rows_of("predict", "cifar10", folder, "--precision", "32-true", "--topk", "3")
    answer = client.post("/predict?topk=3", files=forms(folder))
    assert answer.status_code == 200
    rows = answer.json()["rows"]
    for row, wanted in zip(rows, expected, strict=True):
        assert row.keys() == wanted.keys()
        for column in ("path", "status", "error", "label", "index"):
            assert row[column] == wanted[column]
        assert row["score"] == pytest.approx(wanted["score"], abs=1e-5)
        if wanted["topk"]:
            assert [best["label"] for best in row["topk"]] == [best["label"] for best in wanted["topk"]]
            scores = [best["score"] for best in row["topk"]]
            assert scores == pytest.approx([best["score"] for best in wanted["topk"]], abs=1e-5)
    assert sum(row["status"] == "ok" for row in rows) == 6


def test_vectors_are_the_rows_of_the_command(client: Any, folder: Path) -> None:
    expected = rows_of("embed", "cifar10", folder)
    rows = client.post("/embed", files=forms(folder)).json()["rows"]
    for row, wanted in zip(rows, expected, strict=True):
        assert (row["path"], row["status"]) == (wanted["path"], wanted["status"])
        if wanted["status"] == "ok":
            assert row["vector"] == pytest.approx(wanted["vector"], abs=1e-5)
        else:
            assert row["vector"] is None


def test_a_phone_photograph_is_upright(client: Any, cifar10: Any) -> None:
    stored = picture(3, "JPEG", size=(640, 360), exif=PHONE)
    turned = io.BytesIO()
    Image.open(io.BytesIO(stored)).transpose(Image.Transpose.ROTATE_270).save(turned, "PNG")
    as_taken, as_stored, by_hand = (
        client.post("/embed", files=files(content)).json()["rows"][0]["vector"]
        for content in (stored, picture(3, "JPEG", size=(640, 360)), turned.getvalue())
    )
    assert as_taken == pytest.approx(by_hand, abs=1e-4)
    assert np.abs(np.subtract(as_taken, as_stored)).max() > 0.05


def test_rows_belong_to_their_requests(client: Any, cifar10: Any) -> None:
    """Many at once share batches; each gets what it gets alone."""
    contents = [picture(seed) for seed in range(24)]
    with torch.inference_mode():
        alone = [cifar10.features(cifar10.preprocess(content)[None])[0] for content in contents]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: client.post("/embed", files=files(content)), contents))
    for answer, vector in zip(answers, alone, strict=True):
        assert answer.json()["rows"][0]["vector"] == pytest.approx(vector.tolist(), abs=1e-5)


def test_a_body_that_is_a_picture(client: Any) -> None:
    content = picture(1, "JPEG")
    single = client.post("/predict", content=content, headers={"content-type": "image/jpeg"})
    assert (
        single.json()["rows"][0] | {"path": "0.png"}
        == client.post("/predict", files=files(content)).json()["rows"][0]
    )


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", {}),
        ("method=raw&layer=1&head=0&query=2,5", {"method": "raw", "layer": 1, "head": 0, "query": "2,5"}),
        ("method=relevance&target=truck", {"method": "relevance", "target": "truck"}),
        ("fusion=max&discard=0.4&query=mean", {"fusion": "max", "discard": 0.4, "query": "mean"}),
    ],
)
def test_maps_are_those_of_attend(client: Any, cifar10: Any, words: str, options: dict[str, Any]) -> None:
    contents = [picture(1), picture(2)]
    images = torch.stack([cifar10.preprocess(content) for content in contents])
    expected = vit.attend(cifar10, images, **options)
    answer = client.post(f"/attend?{words}", files=files(contents[0], b"no picture", contents[1]))
    first, broken, second = answer.json()["rows"]
    assert broken["status"] == "not_an_image"
    assert broken["map"] is None
    assert first["map"] == [pytest.approx(row, abs=1e-6) for row in expected[0].tolist()]
    assert second["map"] == [pytest.approx(row, abs=1e-6) for row in expected[1].tolist()]
    assert first["explained"] == options.get("target")


def test_the_page_of_a_picture(client: Any) -> None:
    answer = client.post("/attend?format=html", files=files(("图片 <script>.png", picture(1))))
    assert answer.headers["content-type"].startswith("text/html")
    assert "\\u56fe\\u7247 \\u003cscript\\u003e.png" in answer.text
    two = client.post("/attend?format=html", files=files(picture(1), picture(2)))
    assert (two.status_code, two.json()["error"]["code"]) == (422, "invalid")


HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100
TIFF_OF_A_KIND_THAT_NOTHING_READS = b"II*\0\x08\0\0\0" + b"\1\0\x03\1\3\0\1\0\0\0\x99\x99\0\0" + b"\0" * 20


@pytest.mark.parametrize(
    ("content", "status", "code", "words"),
    [
        (HEIC_HEAD, 415, "unsupported", "JPEG or PNG"),
        (TIFF_OF_A_KIND_THAT_NOTHING_READS, 415, "unsupported", "JPEG or PNG"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 100, 415, "unsupported", "JPEG or PNG"),
        (b"%PDF-1.7 and so on", 415, "unsupported", "convert it"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported", "convert it"),
        (b"GIF89a", 422, None, "0.png"),
        (picture(1)[:-700], 422, "truncated", "again"),
        (b"x" * 50, 415, "not_an_image", "0.png"),
        (b"", 422, "truncated", "empty"),
        (picture(1, size=(1, 1)) + b"x" * 100_000, 200, None, ""),
    ],
)
def test_a_bad_picture_alone_is_refused_in_words(
    client: Any, content: bytes, status: int, code: str | None, words: str
) -> None:
    answer = client.post("/predict", files=files(content))
    assert answer.status_code == status
    if status != 200:
        assert answer.json().keys() == {"error"}
        assert code in (None, answer.json()["error"]["code"])
        assert words in answer.json()["error"]["message"]
        beside = client.post("/predict", files=files(content, picture(1))).json()["rows"]
        assert [row["status"] == "ok" for row in beside] == [False, True]


def test_a_picture_of_many_pixels_is_refused_by_its_header(client: Any) -> None:
    huge = bytearray(picture(1))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    answer = client.post("/predict", files=files(bytes(huge)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("send", "status", "words"),
    [
        ({"json": {"path": "/etc/passwd"}}, 415, "application/json"),
        ({"data": {"url": "http://example.org/a.png"}}, 415, "urlencoded"),
        ({"files": [("files", (None, "a path"))]}, 422, "no files"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, 422, "empty"),
        ({}, 415, "no content type"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "boundary"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=a"}}, 422, "form"),
        ({"content": b"x", "headers": {"content-type": b"\xff\xfe"}}, 415, "content type"),
        ({"files": files(*[b"x"] * 65)}, 422, "64 files"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    client: Any, send: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post("/predict", **send)
    assert (answer.status_code, answer.json().keys()) == (status, {"error"})
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "words",
    ["topk=0", "topk=nan", "topk=1e9", "topk=" + "9" * 5000, "topk=%FF%FE", "topk=十"],
)
def test_arguments_out_of_range(client: Any, words: str) -> None:
    answer = client.post(f"/predict?{words}", files=files(picture(1)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert "topk" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("method=rise", "too long for a server"),
        ("method=nonsense", "expected one of"),
        ("method=rollout&layer=2", "no option layer"),
        ("method=rollout&target=cat", "explains no class"),
        ("method=relevance&target=unicorn", "unicorn"),
        ("query=99,99", "99"),
        ("query=x", "expected cls"),
        ("method=raw&layer=40", "40"),
        ("fusion=nonsense", "mean|max|min"),
        ("discard=nan", "finite"),
        ("discard=-inf", "discard"),
        ("format=pickle", "format"),
    ],
)
def test_questions_that_do_not_fit(client: Any, words: str, says: str) -> None:
    answer = client.post(f"/attend?{words}", files=files(picture(1)))
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]
    several = client.post(f"/attend?{words}", files=files(picture(1), picture(2)))
    assert several.status_code == 422


def test_numbers_that_are_not_finite_are_errors(cifar10: Any) -> None:
    broken = vit.load_model("cifar10")
    with torch.no_grad():
        broken.head.weight[3, 5] = torch.nan
        next(broken.encoder.parameters())[0] = torch.inf
    with client_of(broken) as client:
        for path in ("/predict", "/embed", "/attend", "/attend?format=html"):
            answer = client.post(path, files=files(picture(1)))
            assert (answer.status_code, answer.json()["error"]["code"]) in (
                (422, "not_finite"),
                (422, "refused"),
            )
            if "html" not in path:
                several = client.post(path, files=files(picture(1), b"no picture"))
                json.loads(several.text, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))
                assert several.json()["rows"][0]["status"] in ("not_finite", "refused")


def test_unknown_paths_and_methods(client: Any) -> None:
    assert client.get("/nowhere").json()["error"]["code"] == "not_found"
    wrong = client.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "POST" in wrong.json()["error"]["message"]


def test_a_model_of_texts(texts_run: Path, tmp_path: Path) -> None:
    texts = ["a fine film , take 3", "i hated it", "", "😀 图片 \u0000", "dull " * 500]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    model = vit.load_model(texts_run)
    with client_of(model, max_characters=4000) as client:
        assert client.get("/model").json()["reads"] == "text"
        for verb in ("predict", "embed"):
            expected = rows_of(verb, str(texts_run), tmp_path / "texts.jsonl")
            rows = client.post(f"/{verb}", json={"texts": texts}).json()["rows"]
            value = {"predict": "score", "embed": "vector"}[verb]
            for row, wanted in zip(rows, expected, strict=True):
                assert row["error"] == wanted["error"]
                assert row[value] == pytest.approx(wanted[value], abs=1e-5)
        map_row = client.post("/attend", json={"texts": [texts[0]]}).json()["rows"][0]
        assert sum(map_row["map"]) == pytest.approx(1, abs=1e-5)
        assert len(map_row["words"]) == len(map_row["map"])
        assert client.post("/attend?format=html", json={"texts": [texts[0]]}).text.startswith(
            "<!DOCTYPE html>"
        )
        for body in (
            {"texts": []},
            {"texts": "a text"},
            {"texts": [3]},
            {"texts": ["a" * 4001]},
            {"texts": ["a"] * 65},
            {"texts": ["a"], "path": "/etc/passwd"},
            [],
        ):
            answer = client.post("/predict", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        for content in (
            b'{"texts": [NaN]}',
            b'{"texts": ["\\ud800"]}',
            b"[" * 100_000,
            b"\xff",
            b"",
            b"null",
        ):
            answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert client.post("/predict", files=files(picture(1))).status_code == 415
        plain = {"headers": {"content-type": "text/plain; charset=utf-8"}}
        alone = client.post("/embed", content=texts[3].encode(), **plain).json()["rows"][0]
        assert alone["vector"] == pytest.approx(rows[3]["vector"], abs=1e-5)
        for content in (b"\xff", b"a" * 4001):
            assert client.post("/embed", content=content, **plain).status_code == 422


def test_a_model_without_labels_has_no_predictions(cifar10: Any) -> None:
    headless = vit.load_model("cifar10")
    headless.labels = []
    with client_of(headless) as client:
        assert client.post("/predict", files=files(picture(1))).status_code == 404
        assert client.post("/embed", files=files(picture(1))).status_code == 200
        assert "/predict" not in client.get("/openapi.json").json()["paths"]
