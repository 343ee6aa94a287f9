"""Which folders are parts and which are classes, in the layouts that people have."""

import os
import re
import sys
import unicodedata
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vit.data.found import ReadOptions
from vit.data.listing.class_folders import list_class_folders
from vit.data.listing.tree import read_tree
from vit.data.readers.folder import read_folder
from vit.errors import VitError

SMALL = ReadOptions(size=(5, 7), cache=False)


def png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, "PNG")
    return file.getvalue()


PICTURE = png()


def make(root: Path, *files: str) -> Path:
    """Write files; `cat/3` is three pictures in `cat`."""
    for name in files:
        folder, _, last = name.rpartition("/")
        last_names = [f"{i}.png" for i in range(int(last))] if last.isdigit() else [last]
        for last_name in last_names:
            file = root / folder / last_name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(PICTURE)
    return root


def found(root: Path) -> dict[str, dict[str, int]]:
    """Part -> label -> number of pictures."""
    result: dict[str, Counter[str]] = {}
    for item in list_class_folders(read_tree(root)).items:
        assert item.path == root / item.name
        assert item.path.is_file()
        result.setdefault(item.part or "all", Counter())[str(item.label)] += 1
    return {part: dict(counts) for part, counts in result.items()}


def notes(root: Path) -> str:
    return "\n".join(list_class_folders(read_tree(root)).notes)


BOTH = {"cat": 3, "dog": 2}
PARTS = {"train": BOTH, "test": {"cat": 1, "dog": 1}}


def parts(train: str, test: str) -> list[str]:
    return [f"{train}/cat/3", f"{train}/dog/2", f"{test}/cat/1", f"{test}/dog/1"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["cat/3", "dog/2"], {"all": BOTH}),
        (["cat/old/2", "cat/new/1", "dog/2"], {"all": BOTH}),
        (parts("train", "test"), PARTS),
        (parts("Training", "Testing"), PARTS),
        (parts("Train", "Test"), PARTS),
        (parts("TRAIN", "TEST"), PARTS),
        (parts("training_set", "test_set"), PARTS),
        (parts("val", "test"), {"val": BOTH, "test": PARTS["test"]}),
        (parts("validation", "testing"), {"val": BOTH, "test": PARTS["test"]}),
        (parts("train_v2", "test_v2"), PARTS),
        (["train/cat/3", "train/dog/2"], {"train": BOTH}),
        (["data/cat/3", "data/dog/2"], {"all": BOTH}),
        (["a/b/cat/3", "a/b/dog/2"], {"all": BOTH}),
        (parts("data/train", "data/test"), PARTS),
        (parts("archive/pets/Train", "archive/pets/Test"), PARTS),
        (parts("train/images", "test/images"), PARTS),
        (["train/3", "plane/2", "boat/1"], {"all": {"boat": 1, "plane": 2, "train": 3}}),
        (["train/3", "train/steam/1", "plane/2"], {"all": {"plane": 2, "train": 4}}),
        (["train_station/day/2", "airport/1"], {"all": {"airport": 1, "train_station": 2}}),
        (["test_tube/2", "flask/1"], {"all": {"flask": 1, "test_tube": 2}}),
        (["cat/3"], {"all": {"cat": 3}}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_layouts(tmp_path: Path, files: list[str], expected: dict[str, dict[str, int]]) -> None:
    assert found(make(tmp_path, *files)) == expected


def test_names_are_relative_to_the_root_as_given(tmp_path: Path) -> None:
    listing = list_class_folders(read_tree(make(tmp_path, "data/train/cat/1", "data/train/dog/deep/er/1")))
    assert [item.name for item in listing.items] == ["data/train/cat/0.png", "data/train/dog/deep/er/0.png"]
    assert listing.labels == ["cat", "dog"]


def test_a_wrapper_is_noted(tmp_path: Path) -> None:
    make(tmp_path, "data/cat/1", "data/dog/1", "scripts/run.py")
    assert "data is the only folder with pictures in" in notes(tmp_path)
    assert "the folder scripts has no pictures (1 file) and is left aside" in notes(tmp_path)


def test_other_folders_beside_parts_are_noted(tmp_path: Path) -> None:
    make(tmp_path, *parts("train", "test"), "train_old/cat/4", "docs/1", "extra/cat/5", "test2/7")
    assert found(tmp_path) == PARTS
    told = notes(tmp_path)
    assert "train_old is left aside (4 pictures): train is read as train" in told
    assert "docs is no part of the data and is left aside (1 picture)" in told
    assert "extra is no part of the data and is left aside (5 pictures)" in told
    assert "test2 has no class folders and is left aside (7 pictures)" in told


def test_an_unlabelled_test_set_is_noted(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/3", "train/dog/2", "test/7")
    assert found(tmp_path) == {"train": BOTH}
    assert "test has no class folders and is left aside (7 pictures)" in notes(tmp_path)


def refused(root: Path, *words: str) -> None:
    with pytest.raises(VitError, match=".*".join(map(re.escape, words))) as caught:
        list_class_folders(read_tree(root))
    assert "\n" not in str(caught.value)


def test_what_is_ambiguous_is_refused_with_the_way_out(tmp_path: Path) -> None:
    mixed = make(tmp_path / "mixed", "train/cat/1", "train/dog/1", "plane/1")
    refused(mixed, "may have the part train", "plane, train", f"--data.root {mixed}/train")
    refused(make(tmp_path / "two", "train/cat/1", "Training/cat/1"), "train", "remove or rename one")
    refused(make(tmp_path / "versions", "train_a/cat/1", "test_b/cat/1"), "which of them belong together")
    flat = make(tmp_path / "flat", "train/2", "test/1")
    refused(flat, "pictures directly in test and train", "a folder of its own")
    refused(make(tmp_path / "loose", "3"), "3 pictures directly in it and no class folders")
    refused(make(tmp_path / "texts", "a/x.txt", "b/y.txt"), "no class folders")


def test_archives_and_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "photos.zip", "photo.png")
    with pytest.raises(VitError, match="is an archive: unpack it"):
        read_folder(tmp_path / "photos.zip", SMALL)
    with pytest.raises(VitError, match="is not a folder"):
        read_folder(tmp_path / "photo.png", SMALL)


def test_pictures_in_no_class_folder_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, *parts("train", "test"), "cover.png", "README.md", "a_picture", "train/stray.jpg")
    (tmp_path / "LICENSE").write_text("free")
    skipped = list_class_folders(read_tree(tmp_path)).skipped
    assert skipped == [
        (name, "lies in no class folder") for name in ("a_picture", "cover.png", "train/stray.jpg")
    ]


def test_files_of_file_managers_are_no_files(tmp_path: Path) -> None:
    make(tmp_path, "cat/1", "dog/1", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", "._cat/3")
    make(tmp_path, "__MACOSX/cat/3", "cat/__MACOSX/1", "dog/@eaDir/4")
    listing = list_class_folders(read_tree(tmp_path))
    assert [item.name for item in listing.items] == ["cat/0.png", "dog/0.png"]
    assert listing.notes == ["@eaDir (1) is left aside", "__MACOSX (2) is left aside"]
    assert listing.skipped == []


def test_other_files_of_a_class_are_reported_by_decoding(tmp_path: Path) -> None:
    make(tmp_path, "cat/2", "dog/2")
    (tmp_path / "cat" / "notes.json").write_text("{}")
    read = read_folder(tmp_path, SMALL)
    assert [name for name, _ in read.skipped] == ["cat/notes.json"]
    assert read.skipped[0][1].startswith("not_an_image")
    assert read.named_by_path


def test_empty_classes_are_named_and_left_out(tmp_path: Path) -> None:
    make(tmp_path, "cat/2", "dog/2", "emu/x.txt")
    (tmp_path / "fox").mkdir()
    for file in (tmp_path / "dog").iterdir():
        file.write_bytes(b"no picture")
    read = read_folder(tmp_path, SMALL)
    assert read.labels == ["cat"]
    assert read.parts["all"].targets.tolist() == [0, 0]
    assert read.notes == [
        "the folder emu has no pictures (1 file) and is left aside",
        "the folder fox is empty",
        "'dog' has no picture that can be read: left out",
    ]
    for file in (tmp_path / "cat").iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(VitError, match="none of 4 pictures can be read"):
        read_folder(tmp_path, SMALL)


@pytest.mark.skipif(sys.platform == "darwin", reason="this file system has one Unicode form")
def test_names_that_differ_in_their_unicode_form_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    make(tmp_path, f"{composed}/1", f"{decomposed}/2", "bar/1")
    assert found(tmp_path) == {"all": {"bar": 1, composed: 3}}
    assert "'cafe\\u0301' and 'caf\\xe9'" in notes(tmp_path)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="this file system ignores case")
def test_names_that_differ_in_case_are_kept_apart(tmp_path: Path) -> None:
    make(tmp_path, "Cat/1", "cat/2")
    assert found(tmp_path) == {"all": {"Cat": 1, "cat": 2}}
    assert notes(tmp_path) == "classes whose names differ in case alone are kept apart: Cat, cat"


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", "2", "more/1")
    root = make(tmp_path / "root", "cat/1", "dog/1")
    (root / "emu").symlink_to(outside)
    (root / "a-link").symlink_to(root / "dog")
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "up").symlink_to(tmp_path)
    (root / "cat" / "more").symlink_to(outside / "more")
    (root / "dog" / "broken.png").symlink_to(tmp_path / "nowhere")
    (root / "dog" / "self").symlink_to(root / "dog" / "self")
    listed = ["cat/0.png", "dog/0.png", "dog/broken.png", "dog/self", "emu/0.png", "emu/1.png"]
    assert found_names(root) == [*listed, "emu/more/0.png"]
    told = notes(root)
    assert "a-link leads to the folder dog and is not read a second time" in told
    assert "cat/up leads to a folder that it lies in" in told
    assert "cat/loop leads to" in told


def found_names(root: Path) -> list[str]:
    return [item.name for item in list_class_folders(read_tree(root)).items]


def test_folders_that_cannot_be_listed_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "cat/1", "dog/1", "dog/secret/1")
    real = os.scandir

    def scandir(folder: Path) -> object:
        if Path(folder).name == "secret":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list_class_folders(read_tree(tmp_path)).skipped == [
        ("dog/secret/", "permission: the folder cannot be listed: Permission denied")
    ]
    with pytest.raises(VitError, match="secret cannot be listed: Permission denied"):
        read_tree(tmp_path / "dog" / "secret")


NAMES = st.sampled_from(["train", "Test", "val", "cat", "dog", "data", "train_old", "é", "__MACOSX", ".git"])
LEAVES = st.sampled_from(["a.png", "b.JPG", "c", "notes.txt", ".d.png", "Thumbs.db"])
FILES = st.tuples(st.lists(NAMES, max_size=3), LEAVES).map(lambda pair: "/".join([*pair[0], pair[1]]))


@given(st.sets(FILES, min_size=1, max_size=12))
def test_every_picture_is_read_skipped_or_noted(
    tmp_path_factory: pytest.TempPathFactory, files: set[str]
) -> None:
    root = make(tmp_path_factory.mktemp("tree"), *files)
    hidden = re.compile(r"(^|/)(\.|Thumbs|__MACOSX)")
    pictures = {file for file in files if not hidden.search(file) and not file.endswith(".txt")}
    try:
        listing = list_class_folders(read_tree(root))
    except VitError:
        return
    read = [item.name for item in listing.items if not item.name.endswith(".txt")]
    skipped = [name for name, _ in listing.skipped]
    assert len({*read, *skipped}) == len(read) + len(skipped)
    assert {*read, *skipped} <= pictures
    noted = sum(map(int, re.findall(r"\((\d+) pictures?\)", "\n".join(listing.notes))))
    assert len(read) + len(skipped) + noted == len(pictures)


def test_class_folders_come_before_a_table_beside_them(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/2", "train/dog/1")
    (tmp_path / "train.csv").write_text("path,label\ntrain/cat/0.png,a\ntrain/cat/1.png,b\n")
    read = read_folder(tmp_path, SMALL)
    assert read.labels == ["cat", "dog"]
    assert any("its folders name the classes" in note for note in read.notes)
    asked = read_folder(tmp_path, ReadOptions(size=(5, 7), cache=False, label_column="label"))
    assert (asked.labels, len(asked.parts["train"])) == (["a", "b"], 2)


def test_a_table_beside_pictures_without_class_folders_is_read(tmp_path: Path) -> None:
    make(tmp_path, "train/3", "test/1")
    (tmp_path / "train.csv").write_text("path,label\n0.png,a\n1.png,b\n")
    read = read_folder(tmp_path, SMALL)
    assert read.labels == ["a", "b"]
    assert read.parts["train"].names == ["train/0.png", "train/1.png"]
