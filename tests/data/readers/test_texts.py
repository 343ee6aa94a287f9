"""Text datasets: splits, labels, what is refused."""

from pathlib import Path

import pytest

from vit.data.datasets import load_texts
from vit.errors import VitError


def write(folder: Path, split: str, rows: list[str], suffix: str = ".tsv") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{split}{suffix}"
    file.write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    return file


ROWS = [f"{'pos' if i % 2 else 'neg'}\ttext number {i}" for i in range(20)]


def test_splits_are_kept_as_they_come(tmp_path: Path) -> None:
    for part, rows in (("train", ROWS), ("dev", ROWS[:4]), ("test", ROWS[:6])):
        write(tmp_path / "d", part, rows)
    splits = load_texts("text", tmp_path / "d")
    assert [len(part.texts) for part in (splits.train, splits.val, splits.test)] == [20, 4, 6]
    assert splits.labels == ["neg", "pos"]
    assert splits.train.targets.tolist()[:3] == [0, 1, 0]
    assert splits.train.names[0].endswith("train.tsv:2")


def test_one_file_is_divided_class_by_class(tmp_path: Path) -> None:
    splits = load_texts("text", write(tmp_path, "all", ROWS), val_fraction=0.25, test_fraction=0.2)
    assert [len(part.texts) for part in (splits.train, splits.val, splits.test)] == [12, 4, 4]
    assert len({*splits.train.texts, *splits.val.texts, *splits.test.texts}) == 20
    assert splits.test.targets.sum() == 2


def test_sst2_is_found_below_vit_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    write(tmp_path / "text" / "sst2", "train", ROWS)
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    assert load_texts("sst2").labels == ["neg", "pos"]


def test_an_empty_text_is_skipped_and_named(tmp_path: Path) -> None:
    splits = load_texts("text", write(tmp_path, "all", [*ROWS, "pos\t  "]))
    assert [name.rpartition(":")[2] for name, _ in splits.skipped] == ["22"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [*ROWS, "a\tb\tc"]}, r"train.tsv:22 has 3 fields, expected 2"),
        ({"train": ROWS, "test": ["odd\tx"]}, r"test.tsv:2 has the label 'odd', which train does not have"),
        ({"train": ["pos\tx", "pos\ty"]}, "at least two different"),
        ({"test": ROWS}, "no training texts, expected one of train.tsv"),
    ],
)
def test_datasets_that_cannot_be_used(tmp_path: Path, splits: dict[str, list[str]], message: str) -> None:
    for split, rows in splits.items():
        write(tmp_path / "d", split, rows)
    with pytest.raises(VitError, match=message):
        load_texts("text", tmp_path / "d")
