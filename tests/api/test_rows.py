"""`vit.predict` and `vit.embed` as iterators: lazy, ordered, with messages at once; texts; tables."""

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import vit
from vit.cli import main


@pytest.fixture(scope="module")
def model(digits_run: Path) -> Any:
    return vit.load_model(digits_run)


@pytest.fixture(scope="module")
def reader(texts_run: Path) -> Any:
    return vit.load_model(texts_run)


def test_inputs_are_taken_as_rows_are_asked_for(model: Any, pictures: Path) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for taken in count(1):
            yield pictures / "abce"[taken % 4].__add__(".png")

    rows = vit.predict(model, endless(), batch_size=4)
    assert taken == 0
    first = list(islice(rows, 5))
    assert taken <= 2 * 4
    rows.close()
    assert [row["status"] for row in first] == ["ok"] * 5
    assert [Path(row["path"]).name for row in first] == ["b.png", "c.png", "e.png", "a.png", "b.png"]
    assert list(rows) == []


def test_no_input_gives_no_row(model: Any, tmp_path: Path) -> None:
    assert list(vit.predict(model, [])) == list(vit.embed(model, iter(()))) == []
    (tmp_path / "empty").mkdir()
    assert list(vit.predict(model, [tmp_path / "empty"])) == []
    assert vit.table([]).num_rows == 0


def test_options_are_those_of_the_command(
    model: Any, digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "rows.jsonl"
    options = ["--topk", "2", "--unknown", "0.9", "--batch-size", "3"]
    assert main(["predict", str(digits_run), str(pictures), "--output", str(output), *options]) == 0
    theirs = [json.loads(line) for line in output.read_text().splitlines()]
    assert list(vit.predict(model, pictures, topk=2, unknown=0.9, batch_size=3)) == theirs
    assert {row["label"] for row in theirs} == {"unknown"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 0}, "--topk is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"timeout": -1.0}, "--timeout is -1"),
        ({"memory": 0}, "--memory is 0"),
        ({"unknown": 1.5}, "unknown is 1.5"),
        ({"unknown": "auto"}, "no recorded threshold"),
        ({"column": "text"}, "--column needs a text model"),
        ({"keep": ["id"]}, "--keep needs a text model"),
        ({"channels": "RGBA"}, "channels is 'RGBA'"),
        ({"precision": "32-true"}, "is loaded already: give it to vit.load_model"),
    ],
)
def test_a_wrong_option_is_refused_at_once(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(vit.VitError, match=message):
        vit.predict(model, ["a.png"], **options)


def test_a_wrong_model_is_refused_at_once(model: Any, pictures: Path) -> None:
    with pytest.raises(vit.VitError, match="none is not a model"):
        vit.predict("none", pictures)
    with pytest.raises(vit.VitError, match=r"vit\.from_timm\(model\)"):
        vit.predict(torch.nn.Linear(2, 2), pictures)
    model.train()
    try:
        with pytest.raises(vit.VitError, match=r"call model\.eval\(\)"):
            vit.embed(model, pictures)
    finally:
        model.eval()
    labels, model.labels = model.labels, []
    try:
        with pytest.raises(vit.VitError, match="no names of classes"):
            vit.predict(model, pictures)
    finally:
        model.labels = labels
    preprocess, model.preprocess = model.preprocess, None
    try:
        with pytest.raises(vit.VitError, match=r"model\.preprocess is None"):
            vit.embed(model, pictures)
    finally:
        model.preprocess = preprocess


def test_the_model_stays_as_it_is(model: Any, pictures: Path) -> None:
    before = vars(model).copy()
    list(vit.predict(model, pictures, fast_jpeg=True))
    list(vit.embed(model, pictures))
    assert {name: value for name, value in vars(model).items() if name[0] != "_"} == {
        name: value for name, value in before.items() if name[0] != "_"
    }
    assert not model.preprocess.fast_jpeg


TEXTS = ["a fine film , take 3", "  ", "dull", "what a joy " * 60, "broken \udcff"]


def test_texts_are_rows_as_their_lines_in_a_file(reader: Any, texts_run: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:-1]) + "\n")
    output = tmp_path / "rows.jsonl"
    assert main(["predict", str(texts_run), str(tmp_path / "texts.txt"), "--output", str(output)]) == 3
    theirs = [json.loads(line) for line in output.read_text().splitlines()]
    rows = list(vit.predict(reader, iter(TEXTS)))
    assert [row["path"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["status"] for row in rows] == ["ok", "empty", "ok", "ok", "broken"]
    for row, other in zip(rows, theirs, strict=False):
        assert row | {"path": ""} == other | {"path": ""}
    assert list(vit.predict(reader, TEXTS[0])) == rows[:1]
    assert list(vit.predict(reader, tmp_path / "texts.txt")) == theirs
    [missing, *others] = vit.predict(reader, [tmp_path / "none.txt", tmp_path / "texts.txt"])
    assert (missing["status"], others) == ("missing", theirs)


def test_tables_of_texts(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    table = tmp_path / "in" / "reviews.csv"
    table.write_text("id,said\n7,dull\n8,a fine film\n")
    for inputs, name in ((table, str(table)), ([tmp_path / "in"], "reviews.csv")):
        rows = list(vit.predict(reader, inputs, column="said", keep=["id"]))
        assert [(row["path"], row["id"]) for row in rows] == [(f"{name}:2", "7"), (f"{name}:3", "8")]
    assert vit.table(rows)["id"].to_pylist() == ["7", "8"]
    with pytest.raises(vit.VitError, match="has no column"):
        list(vit.predict(reader, table, column="sayd"))
    [row] = vit.predict(reader, [table], column="sayd")
    assert row["status"] == "broken"


def test_a_file_of_texts_is_no_text(reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.txt").write_text("dull\n")
    with pytest.raises(vit.VitError, match=r"pass pathlib\.Path\('reviews\.txt'\)"):
        list(vit.predict(reader, ["reviews.txt"]))
    with pytest.raises(vit.VitError, match="this model reads texts"):
        list(vit.predict(reader, [b"bytes"]))
    [row] = vit.predict(reader, ["the file notes.txt was dull"])
    assert row["status"] == "ok"


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_a_table_is_what_the_command_writes(verb: str, model: Any, digits_run: Path, tmp_path: Path) -> None:
    from .messy import messy_folder

    folder, output = messy_folder(tmp_path / "messy", 20), tmp_path / "rows.parquet"
    assert main([verb, str(digits_run), str(folder), "--output", str(output)]) == 3
    assert vit.table(getattr(vit, verb)(model, folder)).equals(pq.read_table(output))


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_names_take_no_more_memory_than_ten_thousand(model: Any) -> None:
    if not Path("/proc/self/statm").is_file():
        pytest.skip("memory is read from /proc, which this system has not")
    rows = vit.predict(model, (f"none/{number:07d}.png" for number in range(1_000_000)))
    assert sum(1 for _ in islice(rows, 10_000)) == 10_000
    before = resident()
    assert sum(row["status"] == "missing" for row in rows) == 990_000
    assert resident() - before < 20 * 2**20
