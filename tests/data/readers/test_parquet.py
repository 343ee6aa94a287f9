"""Parquet files of pictures: which file is which part, and what each row becomes."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vit.data.found import Found, ReadOptions
from vit.data.listing.parquet_files import find_parquet
from vit.data.preprocess import Preprocess
from vit.data.readers.cifar import read_cifar10, read_cifar100
from vit.data.readers.parquet import read_parquet
from vit.errors import VitError

OPTIONS = ReadOptions(cache=False)


def encoded(seed: int) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(file: Path, labels: list[Any], names: list[str] | None = None, column: str = "label") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(i), "path": None} for i in range(len(labels))]
    table = pa.table({"image": images, column: labels})
    if names:
        features = {"info": {"features": {column: {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, file)


def read(root: Path, **options: Any) -> Found[Any]:
    return read_parquet(root, ReadOptions(cache=False, **options))


def counts(found: Found[Any]) -> dict[str, int]:
    return {part: len(images) for part, images in found.parts.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train.parquet", "test.parquet"], {"train": [0], "test": [1]}),
        (["Training.parquet", "validation-0.parquet"], {"train": [0], "val": [1]}),
        (
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-0.parquet"],
            {"train": [0, 1], "test": [2]},
        ),
        (["default/train/0000.parquet", "default/train/0001.parquet"], {"train": [0, 1]}),
        (["plain_text/train/0000.parquet", "plain_text/test/0000.parquet"], {"train": [0], "test": [1]}),
        (["plain_text/train-0.parquet", "plain_text/dev-0.parquet"], {"train": [0], "val": [1]}),
        (["val.parquet", "test.parquet"], {"val": [0], "test": [1]}),
        (["things.parquet"], {"all": [0]}),
        (["0000.parquet", "0001.parquet"], {"all": [0, 1]}),
        (["data-0-of-2.parquet", "data-1-of-2.parquet"], {"all": [0, 1]}),
        ([".cache/train.parquet"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_files_of_the_parts(tmp_path: Path, files: list[str], expected: dict[str, list[int]]) -> None:
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_parquet(tmp_path).parts == {
        part: [paths[i] for i in members] for part, members in expected.items()
    }
    assert find_parquet(paths[0]).parts == {"all": [paths[0]]}


def test_what_is_left_aside_is_noted(tmp_path: Path) -> None:
    for name in ("train.parquet", "train_old.parquet", "extra.parquet"):
        (tmp_path / name).touch()
    found = find_parquet(tmp_path)
    assert found.parts == {"train": [tmp_path / "train.parquet"]}
    assert found.notes == [
        f"{tmp_path}/extra.parquet is left aside: it is no part",
        f"{tmp_path}/train_old.parquet is left aside: train.parquet is read as train",
    ]


def test_what_is_ambiguous_is_refused(tmp_path: Path) -> None:
    for name in ("a/cats.parquet", "a/dogs.parquet", "b/x/train.parquet", "b/y/train.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(VitError, match=r"cats.parquet, dogs.parquet, none of which is named .* one file as"):
        find_parquet(tmp_path / "a")
    with pytest.raises(VitError, match=r"parquet files in x, y: give one of these folders as data.root"):
        find_parquet(tmp_path / "b")


def test_a_clone_of_hugging_face(tmp_path: Path) -> None:
    names = ["no", "maybe", "yes"]
    write(tmp_path / "default" / "train" / "0000.parquet", [2, 0, 2], names)
    write(tmp_path / "default" / "test" / "0000.parquet", [0], names)
    found = read(tmp_path)
    assert found.labels == ["no", "yes"]
    assert found.parts["train"].targets.tolist() == [1, 0, 1]
    assert found.parts["train"].names == ["train/00000", "train/00001", "train/00002"]
    assert found.parts["train"].digests[1] == hashlib.sha256(encoded(1)).hexdigest()
    assert found.notes[1:] == ["'maybe' has no picture: left out"]
    assert not found.named_by_path


def test_a_single_file_has_no_parts(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", ["sea", "air"])
    assert counts(read(tmp_path / "train.parquet")) == {"all": 2}
    assert counts(read(tmp_path)) == {"train": 2}


def test_an_unlabelled_test_set_is_left_aside(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [1, 0, 1], ["a", "b"])
    write(tmp_path / "test.parquet", [-1, -1], ["a", "b"])
    found = read(tmp_path)
    assert counts(found) == {"train": 3}
    assert found.notes == ["test has no labels and is left aside (2 rows)"]
    with pytest.raises(VitError, match=r"has no label in its column label, expected one in each row"):
        read(tmp_path / "test.parquet")


def test_a_row_without_a_label_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [1, None, 0, -1, 1], ["a", "b"])
    found = read(tmp_path)
    assert found.skipped == [("train/00001", "it has no label"), ("train/00003", "it has no label")]
    images = found.parts["train"]
    assert images.names == ["train/00000", "train/00002", "train/00004"]
    assert images.digests == [hashlib.sha256(encoded(i)).hexdigest() for i in (0, 2, 4)]
    expected = np.array(Image.open(BytesIO(encoded(4))))
    assert np.array_equal(images[[2]][0][0].permute(1, 2, 0), expected)


def test_labels_of_all_parts_are_known(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [30, 7])
    write(tmp_path / "test.parquet", [100, 7])
    found = read(tmp_path)
    assert found.labels == ["7", "30", "100"]
    assert found.parts["test"].targets.tolist() == [2, 0]


def test_labels_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 2], ["a", "b"])
    with pytest.raises(VitError, match=r"row 1 has the label 2, expected 0 to 1"):
        read(tmp_path)
    write(tmp_path / "train.parquet", [0, 1], ["a", "b"])
    write(tmp_path / "test.parquet", [0, 1], ["b", "a"])
    with pytest.raises(VitError, match=r"has the classes b, a, expected those of the other files, a, b"):
        read(tmp_path)


def test_columns_that_are_asked_for(tmp_path: Path) -> None:
    rows = [encoded(i) for i in range(3)]
    table = pa.table({"image": rows[::-1], "scan": rows, "label": [0, 0, 1], "kind": ["x", "y", "x"]})
    pq.write_table(table, tmp_path / "train.parquet")
    found = read(tmp_path, input_column="scan", label_column="kind")
    assert found.labels == ["x", "y"]
    assert found.parts["train"].digests[0] == hashlib.sha256(rows[0]).hexdigest()
    with pytest.raises(VitError, match=r"string in its column kind, expected image bytes"):
        read(tmp_path, input_column="kind")
    with pytest.raises(VitError, match=r"has no column 'none'"):
        read(tmp_path, input_column="none")
    with pytest.raises(VitError, match=r"columns image, scan, label, kind.*none"):
        read(tmp_path, label_column="none")


def test_several_labels(tmp_path: Path) -> None:
    rows = [encoded(i) for i in range(3)]
    table = pa.table({"image": rows, "label": ["a|b", "", "b"], "cat": [0, 1, None], "dog": [1, 0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    found = read(tmp_path, label_separator="|")
    assert found.labels == ["a", "b"]
    assert found.parts["train"].targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    found = read(tmp_path, label_columns=("cat", "dog"))
    expected = torch.tensor([[0, 1], [1, 0], [torch.nan, 1]])
    assert torch.equal(found.parts["train"].targets.nan_to_num(9), expected.nan_to_num(9))


def test_the_geometry_of_a_model_is_used(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1])
    assert read(tmp_path).parts["train"].size == (5, 7)
    assert read(tmp_path, preprocess=Preprocess(3, 2)).parts["train"].size == (3, 2)


def test_cifar_never_changes(tmp_path: Path) -> None:
    """It needs no digests, and its numbers have names, also where some classes are not there."""
    for part in ("train", "test"):
        write(tmp_path / f"{part}.parquet", [9, 3, 3])
    found = read_cifar10(tmp_path, OPTIONS)
    assert found.labels == ["cat", "truck"]
    assert [images.digests for images in found.parts.values()] == [[], []]
    assert read_cifar10(tmp_path / "train.parquet", OPTIONS).labels == ["cat", "truck"]


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    rows = [encoded(i) for i in range(2)]
    table = pa.table({"img": rows, "fine_label": [99, 4], "coarse_label": [1, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_cifar100(tmp_path, OPTIONS).labels == ["beaver", "worm"]
