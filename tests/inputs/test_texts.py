"""From what a command line names to texts: a row for every one, and for every file that has none."""

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vit.errors import VitError
from vit.inputs.texts import list_texts


def names_and_statuses(records: Any) -> list[tuple[str, str]]:
    return [(fields[0], fields[3]) for fields in records]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts among files of other kinds."""
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n\ntwo\n")
    (folder / "b.csv").write_text("text;id\nthree;7\n")
    (folder / "deep" / "c.jsonl").write_text('{"text": "four"}\n{}\n')
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "no_columns.csv").write_text("id,verse,mood\n1,a,b\n")
    (folder / "none").write_text("no suffix")
    (folder / "not.parquet").write_text("PAR1")
    (folder / "readme.md").write_text("about")
    with tarfile.open(folder / "t.tar", "w") as archive:
        archive.add(folder / "a.txt", "a.txt")
    (folder / "gone.txt").symlink_to("nowhere")
    return folder


def test_every_file_has_a_row(folder: Path) -> None:
    found = list(list_texts([str(folder)]))
    assert names_and_statuses(found) == [
        ("a.txt:1", "ok"),
        ("a.txt:2", "empty"),
        ("a.txt:3", "ok"),
        ("b.csv:2", "ok"),
        ("deep/c.jsonl:1", "ok"),
        ("deep/c.jsonl:2", "broken"),
        ("gone.txt", "missing"),
        ("image.png", "unsupported"),
        ("no_columns.csv", "broken"),
        ("none", "unsupported"),
        ("not.parquet", "broken"),
        ("readme.md", "unsupported"),
        ("t.tar/a.txt", "unsupported"),
    ]
    assert all(len(fields) == 5 and bool(fields[4]) == (fields[3] != "ok") for fields in found)
    assert all(len(fields[4].splitlines()) <= 1 for fields in found)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert names_and_statuses(list_texts([str(tmp_path)])) == [("a.txt", "unsupported")]


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    plain = Path.open

    def refusing(self: Path, *words: Any, **options: Any) -> Any:
        if self.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return plain(self, *words, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert names_and_statuses(list_texts([str(tmp_path)])) == [("a.txt", "permission")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("readme.md", "is not a file of texts, expected one of .txt"),
        ("no_columns.csv", "has the columns id, verse, mood"),
        ("not.parquet", "cannot read"),
    ],
)
def test_the_only_input_is_refused_if_it_has_no_texts(folder: Path, name: str, said: str) -> None:
    with pytest.raises(VitError) as caught:
        list(list_texts([str(folder / name)]))
    assert said in str(caught.value)
    assert str(folder / name) in str(caught.value)
    found = list(list_texts([str(folder / name), str(folder / "a.txt")]))
    assert len(found) == 4, "one of several has a row"


def test_columns(folder: Path) -> None:
    found = list(list_texts([str(folder / "no_columns.csv")], column="verse", keep=["id", "MOOD"]))
    assert [fields[1:] for fields in found] == [("a", None, "ok", "", ["1", "b"])]
    found = list(list_texts([str(folder / "a.txt"), str(folder / "b.csv")], column="Text", keep=["id"]))
    assert [fields[5] for fields in found] == [[None], [None], [None], ["7"]]
