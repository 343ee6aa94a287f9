"""Manifests of pictures: where they are, which files they mean, and their labels."""

import gzip
import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from vit.data.found import ReadOptions
from vit.data.listing.listing import Listing
from vit.data.listing.manifest import find_manifest, list_manifest
from vit.errors import VitError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content.encode()) if file.suffix == ".gz" else content.encode())
    return file


def read(root: Path, **options: object) -> Listing:
    given = ReadOptions(**options)  # type: ignore[arg-type]
    manifest = find_manifest(root, given)
    assert manifest is not None
    listing = list_manifest(manifest, given)
    assert all(item.path.is_file() for item in listing.items)
    return listing


def labels(listing: Listing) -> dict[str, str | None]:
    return {item.name: item.label for item in listing.items}


@pytest.mark.parametrize("column", ["path", "file", "filename", "image", "img", "file_name", "Image_Path"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz"])
def test_paths_beside_the_table(tmp_path: Path, column: str, suffix: str) -> None:
    touch(tmp_path, "a/0.png", "b 1.jpg")
    delimiter = "\t" if "tsv" in suffix else ";"
    content = f"{column};label\na/0.png;x\nb 1.jpg;y\n".replace(";", delimiter)
    listing = read(write(tmp_path / f"list.{suffix}", content))
    assert labels(listing) == {"a/0.png": "x", "b 1.jpg": "y"}
    assert (listing.labels, listing.skipped, listing.groups) == (["x", "y"], [], [])


def test_other_formats(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.png")
    rows = [{"file_name": "0.png", "label": 0}, {"file_name": "1.png", "label": 1}]
    wanted = {"0.png": "0", "1.png": "1"}
    assert labels(read(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))) == wanted
    assert labels(read(write(tmp_path / "a.json", json.dumps(rows)))) == wanted
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert labels(read(tmp_path / "a.parquet")) == wanted


@pytest.mark.parametrize("name", ["metadata.csv", "manifest.csv", "labels.csv"])
def test_manifests_of_a_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "cats/0.png", "dogs/1.png")
    assert find_manifest(tmp_path) is None
    file = write(tmp_path / name, "file_name,label\ncats/0.png,cat\ndogs/1.png,dog\n")
    assert find_manifest(tmp_path) == file
    assert labels(read(tmp_path)) == {"cats/0.png": "cat", "dogs/1.png": "dog"}


def test_metadata_in_the_folders_of_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        touch(tmp_path / part, "0.png", "1.png")
        write(tmp_path / part / "metadata.csv", "file_name,label\n0.png,x\n1.png,y\n")
    listing = read(tmp_path)
    assert [(item.name, item.part) for item in listing.items] == [
        ("train/0.png", "train"), ("train/1.png", "train"), ("test/0.png", "test"), ("test/1.png", "test"),
    ]  # fmt: skip


def test_a_competition(tmp_path: Path) -> None:
    touch(tmp_path, "train/0.jpg", "train/1.jpg", "test/2.jpg")
    write(tmp_path / "train.csv", "id,label\n0,cat\n1,dog\n7,cat\n")
    write(tmp_path / "test.csv", "id\n2\n")
    write(tmp_path / "sample_submission.csv", "id,label\n2,cat\n")
    listing = read(tmp_path)
    assert labels(listing) == {"train/0.jpg": "cat", "train/1.jpg": "dog"}
    assert {item.part for item in listing.items} == {"train"}
    assert listing.skipped == [("7", "missing")]
    assert listing.notes == [
        "sample_submission.csv is left aside: it is not named train, val or test",
        "test.csv is left aside: it has no labels (1 rows)",
    ]
    assert {item.part for item in read(tmp_path / "train.csv").items} == {None}


def test_the_only_other_column_holds_the_labels(tmp_path: Path) -> None:
    touch(tmp_path, "train/0a.jpg", "train/1b.jpg")
    write(tmp_path / "labels.csv", "id,breed\n0a,pug\n1b,beagle\n")
    assert labels(read(tmp_path)) == {"train/0a.jpg": "pug", "train/1b.jpg": "beagle"}


@pytest.mark.parametrize("folder", ["", "images/", "train/", "list/"])
@pytest.mark.parametrize("value", ["deep/0.png", "deep/0", "deep\\0.png", " deep/0.png "])
def test_where_a_path_may_be(tmp_path: Path, folder: str, value: str) -> None:
    touch(tmp_path, f"{folder}deep/0.png")
    assert labels(read(write(tmp_path / "list.csv", f"path,label\n{value},x\n"))) == {
        f"{folder}deep/0.png": "x"
    }


def test_absolute_paths(tmp_path: Path) -> None:
    other = touch(tmp_path / "other", "0.png") / "0.png"
    listing = read(write(tmp_path / "d" / "list.csv", f"path,label\n{other},x\n"))
    assert labels(listing) == {other.as_posix(): "x"}


def test_files_that_cannot_be_told_apart_or_are_missing(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "0.jpg", "1.png")
    rows = ["0,x", "1,x", "1.png,y", "2.png,y", "0.png,y", f"{'n' * 300},x"]
    listing = read(write(tmp_path / "list.csv", "\n".join(["path,label", *rows])))
    assert labels(listing) == {"1.png": "x", "0.png": "y"}
    assert listing.skipped == [
        ("0", "one of 0.jpg, 0.png: the manifest does not say which"),
        ("1.png", "listed more than once: the first row counts"),
        ("2.png", "missing"),
        ("n" * 300, "missing"),
    ]


def test_nothing_that_exists(tmp_path: Path) -> None:
    file = write(tmp_path / "list.csv", "path,label\na/0.png,x\n")
    assert find_manifest(file) == file
    with pytest.raises(VitError, match=r"lists no picture that exists: a/0.png is missing"):
        list_manifest(file, ReadOptions())


def test_parts_groups_and_rows_without_a_label(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.png" for i in range(5)))
    rows = ["0.png,x,train,g", "1.png,y,dev,g", "2.png,x,test,", "3.png,,train,g", "4.png,y,train,h,more"]
    listing = read(write(tmp_path / "list.csv", "\n".join(["path,label,split,group", *rows])))
    assert [(item.name, item.part, item.group) for item in listing.items] == [
        ("0.png", "train", "g"), ("1.png", "val", "g"), ("2.png", "test", None),
    ]  # fmt: skip
    assert listing.groups == ["group g", "group g", "2.png"]
    assert dict(listing.skipped).keys() == {"list.csv:5", "list.csv:6"}


def test_several_labels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.png" for i in range(3)))
    listing = read(
        write(tmp_path / "a.csv", "path,cat,dog\n0.png,1,0\n1.png,,1\n2.png,,\n"),
        label_columns=("cat", "dog"),
    )
    first, second = (item.labels for item in listing.items)
    assert first == {"cat": 1.0, "dog": 0.0}
    assert second is not None
    assert math.isnan(second["cat"])
    assert listing.skipped == [("a.csv:4", "has no label")]
    listing = read(write(tmp_path / "b.csv", "path,tags\n0.png,x y\n1.png,\n2.png,y\n"), label_separator=" ")
    assert listing.labels == ["x", "y"]
    assert [item.labels for item in listing.items] == [{"x": 1, "y": 1}, {"x": 0, "y": 0}, {"x": 0, "y": 1}]


def test_columns_that_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "0.png")
    file = write(tmp_path / "a.csv", "n,where,what\n0,0.png,x\n")
    assert find_manifest(file) is None
    assert labels(read(file, input_column="where", label_column="what")) == {"0.png": "x"}
    with pytest.raises(
        VitError, match=r"has the columns n, where, what, .*--data.input_column names another"
    ):
        list_manifest(file, ReadOptions())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "id,text,label\n0,a text,x\n"),
        ("a.csv", "text,label\na,x\n"),
        ("metadata.csv", "file_name,text\n0.png,a caption\n"),
        ("a.csv", ""),
        ("a.txt", "__label__x 0.png\n"),
        ("a.png", "no table"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, name: str, content: str) -> None:
    touch(tmp_path, "0.png")
    file = write(tmp_path / name, content)
    assert find_manifest(file) is None
    assert find_manifest(tmp_path) is None


def test_parquet_with_the_bytes_of_images_is_no_manifest(tmp_path: Path) -> None:
    images = pa.array([{"bytes": b"x", "path": "0.png"}])
    parquet.write_table(pa.table({"image": images, "label": [0]}), tmp_path / "train.parquet")
    assert find_manifest(tmp_path / "train.parquet") is None
    assert find_manifest(tmp_path) is None


def test_a_table_that_is_not_understood_is_left_aside_aloud(tmp_path: Path) -> None:
    """Its columns have other names: the folders are read, and a note says which options read the table."""
    from vit.data.readers.folder import list_pictures

    touch(tmp_path, "cam1/0.png", "cam2/1.png")
    write(tmp_path / "labels.csv", "Bild;Klasse\ncam1/0.png;x\ncam2/1.png;y\n")
    listing = list_pictures(tmp_path, ReadOptions())
    assert listing.labels == ["cam1", "cam2"]
    assert any("labels.csv is left aside: --data.input_column" in note for note in listing.notes)
    named = list_pictures(tmp_path, ReadOptions(input_column="Bild", label_column="Klasse"))
    assert labels(named) == {"cam1/0.png": "x", "cam2/1.png": "y"}
    with pytest.raises(VitError, match="Bidl"):
        list_pictures(tmp_path, ReadOptions(input_column="Bidl", label_column="Klasse"))
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(VitError, match="has no table that lists its pictures"):
        list_pictures(tmp_path, ReadOptions(label_column="Klasse"))
