"""Texts without labels: which files are read, in which parts, and what is left aside."""

from pathlib import Path

import pytest

from vit.data.datasets import load, read
from vit.data.found import ReadOptions
from vit.data.splits.record import read_record, record_of, write_record
from vit.errors import VitError


def written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    return root


def texts(root: Path, **options: str) -> dict[str, list[str]]:
    return {part: raw.texts for part, raw in read("lines", root, ReadOptions(**options)).parts.items()}


def test_a_line_is_a_text_and_empty_ones_are_none(tmp_path: Path) -> None:
    root = written(tmp_path, {"a.txt": "one\n\n  two \r\n \t\nthree"})
    found = read("lines", root / "a.txt", ReadOptions())
    assert found.parts["all"].texts == ["one", "  two ", "three"]
    assert found.parts["all"].names == ["a.txt:1", "a.txt:3", "a.txt:5"]
    assert (found.labels, found.skipped) == ([], [])


def test_a_folder_is_read_with_all_below_it(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            "b/c.tsv": "label\tsentence\n1\tfrom a table\n",
            "a.txt": "from a file\n",
            "d.jsonl": '{"text": "from json", "n": 1}\n',
            "info.json": '{\n"description": "none"\n}\n',
            ".hidden/e.txt": "no\n",
            "picture.png": "no\n",
        },
    )
    assert texts(root) == {"all": ["from a file", "from a table", "from json"]}
    assert texts(written(root / "own", {"x.csv": "id,said\n1,this\n"}), input_column="said") == {
        "all": ["this"]
    }


def test_parts_are_told_by_files_and_by_folders(tmp_path: Path) -> None:
    files = {
        "sst/train.txt": "a\n", "sst/dev.txt": "b\n", "trec/train.txt": "c\n", "test/x.txt": "d\n",
        "train_old.txt": "e\n", "notes.txt": "f\n",
    }  # fmt: skip
    found = read("lines", written(tmp_path, files), ReadOptions())
    assert {part: raw.texts for part, raw in found.parts.items()} == {
        "train": ["a", "c"], "val": ["b"], "test": ["d"],
    }  # fmt: skip
    assert [note.split()[0] for note in found.notes] == ["notes.txt", "train_old.txt"]


def test_a_broken_line_is_skipped_with_its_reason(tmp_path: Path) -> None:
    root = written(tmp_path, {"a.txt": "good\nb\udcffd\n"})
    found = read("lines", root, ReadOptions())
    assert found.parts["all"].texts == ["good"]
    assert found.skipped == [("a.txt:2", "byte 0xff at position 2 is not UTF-8")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": ""}, "has no file of texts, expected some with the suffix .txt"),
        ({"a.txt": "\n \n"}, "has no text"),
        ({"a.tsv": "x\ty\n1\t2\n"}, "has the columns x, y, expected one of text"),
    ],
)
def test_what_holds_no_texts_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(VitError, match=message):
        texts(written(tmp_path, files))


def test_they_are_divided_by_content_and_recorded(tmp_path: Path) -> None:
    lines = [f"text {number % 150}" for number in range(200)]
    splits = load("lines", written(tmp_path / "data", {"a.txt": "\n".join(lines)}))
    parts = {part: set(raw.texts) for part, raw in splits.as_dict().items()}
    assert parts.keys() == {"train", "val", "test"}
    assert sum(map(len, parts.values())) == 150, "no text is in two parts"
    write_record(tmp_path, record_of(splits.as_dict(), splits.labels))
    record = read_record(tmp_path)
    assert record is not None
    (tmp_path / "data" / "a.txt").write_text("\n".join(["new one", *reversed(lines)]))
    again = load("lines", tmp_path / "data", record=record)
    assert again.new is not None
    assert again.new.texts == ["new one"]
    assert {part: set(raw.texts) for part, raw in again.as_dict().items() if part != "new"} == parts
