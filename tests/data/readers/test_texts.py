"""Datasets of texts as people have them: parts, labels, what is skipped and what is left aside."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from vit.data.datasets import load
from vit.data.found import Found, ReadOptions
from vit.data.readers.texts import holds_texts, read_texts
from vit.data.texts import RawTexts, text_digest
from vit.errors import VitError

TWO = "label,text\npos,a fine film\nneg,dull\n"


def write(file: Path, content: str, encoding: str = "utf-8") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode(encoding)
    file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)
    return file


def write_parquet(
    file: Path, labels: list, *, names: list[str] | None = None, texts: str = "abcdefg"
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": [f"{file.stem} {text}" for text in texts[: len(labels)]], "label": labels})
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, file)
    return file


def read(root: Path, **options: object) -> Found[RawTexts]:
    assert holds_texts(root)
    return read_texts(root, ReadOptions(**options))  # type: ignore[arg-type]


def labelled(found: Found[RawTexts], part: str = "all") -> list[tuple[str, str]]:
    """Text and label of each example."""
    examples = found.parts[part]
    labels = [found.labels[index] for index in examples.targets.tolist()]
    return list(zip(examples.texts, labels, strict=True))


def sizes(found: Found[RawTexts]) -> dict[str, int]:
    return {part: len(examples) for part, examples in found.parts.items()}


# Which files are read


def test_parts_are_kept_as_they_come(tmp_path: Path) -> None:
    for part, count in (("train", 7), ("dev", 3), ("test", 5)):
        rows = [f"{'pos' if i % 2 else 'neg'}\t{part} {i}" for i in range(count)]
        write(tmp_path / f"{part}.tsv", "\n".join(["label\ttext", *rows]))
    found = read(tmp_path)
    assert sizes(found) == {"train": 7, "val": 3, "test": 5}
    assert found.labels == ["neg", "pos"]
    assert found.parts["train"].targets.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert found.parts["train"].names[:2] == ["train.tsv:2", "train.tsv:3"]
    assert found.parts["train"].digests[0] == text_digest("train 0")
    assert (found.skipped, found.notes, found.groups, found.named_by_path) == ([], [], {}, False)


def test_a_file_is_all_of_the_data(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", TWO)
    assert sizes(read(write(tmp_path / "train.csv", TWO))) == {"all": 2}


def test_an_old_copy_is_left_aside(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TWO)
    write(tmp_path / "train-old.csv", "label,text\nold,old\n")
    write(tmp_path / "eval.csv", TWO)
    found = read(tmp_path)
    assert sizes(found) == {"train": 2, "val": 2}
    assert found.labels == ["neg", "pos"]
    assert found.notes == ["train-old.csv is left aside: train.csv is read as train"]


def test_shards_are_one_part(tmp_path: Path) -> None:
    for shard in (0, 1):
        write_parquet(tmp_path / f"train-0000{shard}-of-00002.parquet", [0, 1, 1], names=["neg", "pos"])
    found = read(tmp_path)
    assert sizes(found) == {"train": 6}
    assert found.labels == ["neg", "pos"]
    assert found.parts["train"].names[3] == "train-00001-of-00002.parquet:1"


@pytest.mark.parametrize(
    "files",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("plain_text/train/0000.parquet", "plain_text/test/0000.parquet"),
        ("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("other/train/0000.parquet", "other/test/0000.parquet"),
    ],
)
def test_clones_from_hugging_face(tmp_path: Path, files: tuple[str, str]) -> None:
    write(tmp_path / "README.md", "a card")
    write(tmp_path / ".git" / "train.csv", TWO)
    for file in files:
        write_parquet(tmp_path / file, [0, 1, 1], names=["neg", "pos"])
    found = read(tmp_path)
    assert sizes(found) == {"train": 3, "test": 3}
    assert found.parts["test"].names[2] == f"{files[1]}:3"


def test_configurations_of_a_dataset(tmp_path: Path) -> None:
    for config in ("mrpc", "sst2"):
        write_parquet(tmp_path / config / "train-00000-of-00001.parquet", [0, 1])
    with pytest.raises(VitError, match="tables in mrpc, sst2: give one of these folders"):
        read_texts(tmp_path, ReadOptions())
    write_parquet(tmp_path / "default" / "train-00000-of-00001.parquet", [0, 1, 1])
    found = read(tmp_path)
    assert sizes(found) == {"train": 3}
    assert [note.split()[0] for note in found.notes] == ["mrpc", "sst2"]


def test_the_unlabelled_part_of_imdb_is_left_aside(tmp_path: Path) -> None:
    for part, label in (("train", 1), ("test", 0), ("unsupervised", -1)):
        file = tmp_path / "plain_text" / f"{part}-00000-of-00001.parquet"
        write_parquet(file, [label] * 3, names=["neg", "pos"])
    found = read(tmp_path)
    assert sizes(found) == {"train": 3, "test": 3}
    assert found.notes == [
        "unsupervised-00000-of-00001.parquet is left aside: it is not named train, val or test"
    ]


def test_data_with_test_alone(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", "label,text\npos,a\npos,b\n")
    found = read(tmp_path)
    assert (sizes(found), found.labels) == ({"test": 2}, ["pos"])


def test_a_table_of_another_name_is_all_of_the_data(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", TWO)
    write(tmp_path / "notes.txt", "lines without labels\n")
    write(tmp_path / "dataset_infos.json", '{\n "a": 1\n}\n')
    assert sizes(read(tmp_path)) == {"all": 2}
    write(tmp_path / "more.csv", TWO)
    with pytest.raises(VitError, match=r"has more.csv, reviews.csv, none of which is named train"):
        read_texts(tmp_path, ReadOptions())


# Formats


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv(tmp_path: Path, delimiter: str, encoding: str, name: str) -> None:
    found = read(write(tmp_path / name, TWO.replace(",", delimiter), encoding))
    assert labelled(found) == [("a fine film", "pos"), ("dull", "neg")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv.gz", TWO.replace(",", "\t")),
        ("a.json", '[{"text": "a fine film", "label": "pos"}, {"text": "dull", "label": "neg"}]'),
        ("a.jsonl.gz", '{"text": "a fine film", "label": "pos"}\n{"text": "dull", "label": "neg"}'),
        ("a.txt", "__label__pos a fine film\n__label__neg dull\n"),
        ("a.txt.gz", "__label__pos a fine film\n__label__neg dull\n"),
    ],
)
def test_other_formats(tmp_path: Path, name: str, content: str) -> None:
    assert labelled(read(write(tmp_path / name, content))) == [("a fine film", "pos"), ("dull", "neg")]
    write(tmp_path / "d" / f"train.{name.partition('.')[2]}", content)
    assert sizes(read(tmp_path / "d")) == {"train": 2}


def test_fasttext_with_several_labels(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "__label__x __label__y both\n__label__y one\nnone\n")
    found = read(file, label_separator=",")
    assert found.parts["all"].targets.tolist() == [[1, 1], [0, 1], [0, 0]]
    found = read(file)
    assert labelled(found) == [("one", "y")]
    assert dict(found.skipped).keys() == {"a.txt:1", "a.txt:3"}


def test_lines_without_labels(tmp_path: Path) -> None:
    with pytest.raises(VitError, match=r"a.txt has no labels, expected .*__label__LABEL TEXT"):
        read_texts(write(tmp_path / "a.txt", "one\ntwo\n"), ReadOptions())


# Columns


def test_columns_that_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id,verse,mood\n1,a,x\n2,b,y\n")
    found = read(file, input_column="Verse", label_column="mood")
    assert labelled(found) == [("a", "x"), ("b", "y")]
    for options, said in (
        (
            {},
            r"a.csv has the columns id, verse, mood, expected one of text, .*--data.input_column .*--column",
        ),
        ({"input_column": "line"}, "no column 'line', which --data.input_column .* id, verse, mood"),
        ({"input_column": "verse"}, "no labels: its columns are id, verse, mood, .*--data.label_column"),
        ({"input_column": "verse", "label_column": "tone"}, "expected tone, which --data.label_column names"),
    ):
        with pytest.raises(VitError, match=said):
            read_texts(file, ReadOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "beside"),
    [
        ("label", "label_text"),
        ("label", "label_name"),
        ("coarse_label", "coarse_label_text"),
        ("label_coarse", "label_coarse_text"),
    ],
)
def test_names_beside_the_labels(tmp_path: Path, label: str, beside: str) -> None:
    file = write(tmp_path / "a.csv", f"text,{label},{beside}\na,0,neg\nb,1,pos\nc,0,\n")
    found = read(file)
    assert labelled(found) == [("a", "neg"), ("b", "pos"), ("c", "neg")]
    assert found.labels == ["neg", "pos"]


def test_names_that_are_not_one_to_one(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", "text,label,label_text\na,0,neg\nb,1,pos\nc,0,pos\n"))
    assert found.labels == ["0", "1"]
    assert found.notes == ["the names beside the labels are not used: they do not match one to one"]


def test_a_column_of_parts_and_one_of_groups(tmp_path: Path) -> None:
    rows = ["a,x,train,g", "b,y,Validation,g", "c,x,test,h", "d,y,train,", "e,y,,g"]
    found = read(write(tmp_path / "a.csv", "\n".join(["text,label,split,group", *rows])))
    assert sizes(found) == {"train": 2, "val": 1, "test": 1}
    assert found.groups["train"] == ["group g", "a.csv:5"]
    assert found.skipped == [("a.csv:6", "has no part")]
    found = read(write(tmp_path / "b.csv", "text,label,set\na,x,train\nb,y,7\n"))
    assert sizes(found) == {"all": 2}
    assert "'7'" in found.notes[0]


# Rows and parts without labels


def test_broken_rows_are_skipped(tmp_path: Path) -> None:
    content = TWO.encode() + b"pos,\xe9\npos,a,b\n,no label\npos,  \nneg,last\n"
    (tmp_path / "a.csv").write_bytes(content)
    found = read(tmp_path / "a.csv")
    assert [text for text, _ in labelled(found)] == ["a fine film", "dull", "last"]
    assert dict(found.skipped) == {
        "a.csv:4": "byte 0xe9 at position 5 is not UTF-8",
        "a.csv:5": "has 3 fields, expected 2: label, text",
        "a.csv:6": "has no label",
        "a.csv:7": "has no text",
    }


def test_data_without_a_good_row(tmp_path: Path) -> None:
    with pytest.raises(VitError, match=r"no row that can be read: a.csv:2 has 1 field, expected 2"):
        read_texts(write(tmp_path / "a.csv", "text,label\nx\ny\n"), ReadOptions())
    with pytest.raises(VitError, match=r"a.csv has no rows"):
        read_texts(write(tmp_path / "a.csv", "text,label\n"), ReadOptions())


def test_the_test_of_a_competition_is_left_aside(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TWO)
    write(tmp_path / "test.csv", "id,text\n1,a\n2,\n")
    write(tmp_path / "sample_submission.csv", "id,label\n1,pos\n")
    found = read(tmp_path)
    assert (sizes(found), found.skipped) == ({"train": 2}, [])
    assert found.notes == [
        "sample_submission.csv is left aside: it is not named train, val or test",
        "test.csv is left aside: it has no labels (1 rows)",
    ]


@pytest.mark.parametrize("names", [None, ["neg", "pos"]])
def test_labels_of_minus_one(tmp_path: Path, names: list[str] | None) -> None:
    write_parquet(tmp_path / "train.parquet", [0, 1, 1], names=names)
    write_parquet(tmp_path / "val.parquet", [0, -1, 1, None], names=names)
    write_parquet(tmp_path / "test.parquet", [-1, -1], names=names)
    found = read(tmp_path)
    assert sizes(found) == {"train": 3, "val": 2}
    assert found.labels == (names or ["0", "1"])
    assert found.skipped == [("val.parquet:2", "has no label"), ("val.parquet:4", "has no label")]
    assert found.notes == ["test.parquet is left aside: it has no labels (2 rows)"]


def test_minus_one_may_be_a_class(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", "text,label\na,-1\nb,1\n"))
    assert (found.labels, found.notes) == (["-1", "1"], [])
    found = read(write(tmp_path / "a.csv", "text,label\na,-1\nb,0\nc,1\n"))
    assert (found.labels, found.notes) == (["-1", "0", "1"], ["the label -1 of all is read as a class"])


def test_a_label_beyond_the_names_is_skipped(tmp_path: Path) -> None:
    found = read(write_parquet(tmp_path / "a.parquet", [0, 5, 1], names=["neg", "pos"]))
    assert sizes(found) == {"all": 2}
    assert found.skipped == [("a.parquet:2", "has the label 5, expected 0 to 1")]


# Class folders


def test_the_folders_of_imdb(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("pos", "neg"):
            for number in range(3):
                write(tmp_path / part / label / f"{number}_7.txt", f"{part} {label} {number}\nand more")
    write(tmp_path / "train" / "unsup" / "0_0.txt", "without a label")
    write(tmp_path / "train" / "urls_pos.txt", "http")
    write(tmp_path / "README", "about")
    found = read(tmp_path)
    assert sizes(found) == {"train": 6, "test": 6}
    assert found.labels == ["neg", "pos"]
    assert labelled(found, "test")[0] == ("test neg 0\nand more", "neg")
    assert found.parts["test"].names[0] == "test/neg/0_7.txt"
    assert found.named_by_path
    assert sorted(found.notes) == [
        "README is left aside: in no class folder",
        "train/unsup is left aside: its texts have no labels",
        "urls_pos.txt of train is left aside: in no class folder",
    ]


def test_the_folders_of_20_newsgroups(tmp_path: Path) -> None:
    for label in ("alt.atheism", "sci.space", "talk.politics.misc"):
        for number in (49960, 51060):
            write(tmp_path / label / str(number), f"From: x\n\n{label} {number}")
    (tmp_path / "sci.space" / "59848").write_bytes(b"caf\xe9")
    write(tmp_path / "sci.space" / "empty", "\n")
    write(tmp_path / "sci.space" / "cover.png", "no text")
    write(tmp_path / "sci.space" / ".DS_Store", "hidden")
    write(tmp_path / "sci.space" / "marked.txt", "\ufeffa text")
    found = read(tmp_path)
    assert sizes(found) == {"all": 7}
    assert found.labels == ["alt.atheism", "sci.space", "talk.politics.misc"]
    assert labelled(found)[4] == ("a text", "sci.space")
    assert dict(found.skipped) == {
        "sci.space/59848": "byte 0xe9 at position 4 is not UTF-8",
        "sci.space/cover.png": "is no text: it ends in .png, expected .txt, or no suffix",
        "sci.space/empty": "has no text",
    }


def test_folders_of_pictures_are_no_texts(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            file = tmp_path / label / f"{number}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    write(tmp_path / "cat" / "notes.txt", "a note")
    assert not holds_texts(tmp_path)
    write(tmp_path / "classes.csv", "id,name\n0,cat\n")
    write(tmp_path / "cat" / "list.csv", "a,b\n")
    assert not holds_texts(tmp_path)


def test_a_folder_with_nothing(tmp_path: Path) -> None:
    assert not holds_texts(tmp_path)
    with pytest.raises(VitError, match="has no folders of texts"):
        read_texts(tmp_path, ReadOptions())


# Divided


def test_sst2_is_found_below_vit_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{'pos' if i % 2 else 'neg'}\ttext number {i}" for i in range(20)]
    for part in ("train", "dev", "test"):
        write(tmp_path / "text" / "sst2" / f"{part}.tsv", "\n".join(["label\ttext", *rows]))
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    splits = load("sst2")
    assert splits.labels == ["neg", "pos"]
    assert len(splits.train) == 20
