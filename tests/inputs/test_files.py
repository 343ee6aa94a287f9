"""Which files, in what order, under what names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vit.errors import VitError
from vit.inputs import files
from vit.inputs.files import can_list_again, list_files


def names(*inputs: object) -> list[str]:
    return [entry.name for entry in list_files([str(argument) for argument in inputs])]


def test_a_folder_in_sorted_order_below_itself(pictures: Path) -> None:
    found = names(pictures)
    assert found == ["a.png", "b.png", "c-d.png", "c.png", "deep/a.png", "deep/z.png", "e.png"]
    assert found == sorted(found)
    assert all(entry.path.is_file() for entry in list_files([str(pictures)]))


def test_folders_and_files_that_interleave(tmp_path: Path) -> None:
    """`a-b` comes before `a/b`, and `a.png` between them: names sort whole, not folder by folder."""
    for name in ("a/b", "a-b", "a.png", "a0", "a/-", "B"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == sorted(["a/b", "a-b", "a.png", "a0", "a/-", "B"])


@given(st.sets(st.text("ab-./0", min_size=1, max_size=6), max_size=12))
def test_any_tree_is_sorted(tmp_path_factory: pytest.TempPathFactory, wanted: set[str]) -> None:
    root = tmp_path_factory.mktemp("tree")
    made = set()
    for name in sorted(wanted):
        clean = os.path.normpath("/" + name).lstrip("/")
        target = root / clean
        if not clean or target.exists() or any(p.is_file() for p in target.parents):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        made.add(clean)
    assert names(root) == sorted(made)


def test_several_inputs_keep_their_words(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    assert names("deep", "a.png") == ["a.png", "deep/a.png", "deep/z.png"]
    assert names("a.png") == ["a.png"]
    assert names("c*.png") == ["c-d.png", "c.png"]
    assert names("**/a.png") == ["a.png", "deep/a.png"]


def test_a_file_given_twice_has_one_row(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    assert names("a.png", "./a.png", "deep", "./deep/a.png") == ["a.png", "deep/a.png", "deep/z.png"]
    assert names("deep", "deep") == ["deep/a.png", "deep/z.png"]


def test_everything_has_a_row(pictures: Path) -> None:
    before = names(pictures)
    (pictures / "loop").symlink_to(pictures)
    (pictures / "self").symlink_to(pictures / "self")
    (pictures / "gone.png").symlink_to(pictures / "nowhere")
    os.mkfifo(pictures / "pipe")
    assert names(pictures) == sorted([*before, "gone.png", "loop/", "pipe", "self"])


def failures(*inputs: object) -> dict[str, str]:
    """The entries that are known to fail: name -> status and detail."""
    entries = list_files([str(argument) for argument in inputs])
    return {entry.name: ": ".join(entry.failure) for entry in entries if entry.failure}


def test_links_to_folders_are_followed_once(pictures: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for name in ("x.png", "below/y.png"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).touch()
    (outside / "back").symlink_to(outside / "below")
    before = names(pictures)
    (pictures / "b-link").symlink_to(outside)
    assert names(pictures) == sorted(
        [*before, "b-link/x.png", "b-link/below/y.png", "b-link/back/"], key=os.fsencode
    )
    assert failures(pictures)["b-link/back/"].endswith("below, which is listed in its own place")
    (outside / "back").unlink()
    (pictures / "z-link").symlink_to(outside / "below")
    assert names(pictures) == sorted([*before, "b-link/x.png", "b-link/below/y.png", "z-link/"])
    assert list(failures(pictures)) == ["z-link/"]
    assert failures(pictures)["z-link/"].startswith("not_an_image: a link to")
    (pictures / "a-link").symlink_to(outside / "below")
    assert list(failures(pictures)) == ["b-link/below/", "z-link/"]
    assert failures(pictures)["b-link/below/"].startswith("not_an_image: a second way to")
    assert names(pictures) == names(pictures)  # a link is followed again by the next listing


def test_links_back_into_the_inputs_are_not_followed(pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.png").touch()
    (pictures / "again").symlink_to(pictures / "deep")
    (pictures / "up").symlink_to(tmp_path)
    (pictures / "aside").symlink_to(other)
    found = failures(pictures, other)
    assert set(found) == {f"{pictures}/{name}/" for name in ("again", "up", "aside")}
    assert "listed in its own place" in found[f"{pictures}/again/"]
    assert "would lead back" in found[f"{pictures}/up/"]
    assert names(pictures, other).count(f"{other}/one.png") == 1
    assert "aside/one.png" in names(pictures)


def test_a_folder_that_cannot_be_listed_has_a_row(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(pictures)
    real = os.scandir

    def scandir(folder: str) -> object:
        if folder.endswith("deep"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    kept = [name for name in before if not name.startswith("deep/")]
    assert names(pictures) == sorted([*kept, "deep/"])
    with pytest.raises(VitError, match="cannot be listed: Permission denied"):
        names(pictures / "deep")


def test_many_names_are_sorted_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n * 7919 % 1000}\udcff\n\u00fc{'x' * (n % 50)}" for n in range(1000)]
    monkeypatch.setattr(files, "NAMES_IN_MEMORY", 37)
    assert list(files.sorted_names(iter(names))) == sorted(names, key=os.fsencode)


def test_a_list_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"b.png\n\na/c.png\nb.png\n./a.png\n\xff.png")
    (tmp_path / "more.png").touch()
    found = names(f"@{tmp_path}/names.txt", tmp_path / "more.png")
    assert found == sorted(
        ["./a.png", "a/c.png", "b.png", "\udcff.png", f"{tmp_path}/more.png"], key=os.fsencode
    )
    with pytest.raises(VitError, match="@nowhere does not exist"):
        names("@nowhere")


def test_a_list_on_standard_input(tmp_path: Path) -> None:
    code = "from vit.inputs.files import list_files; print([entry.name for entry in list_files(['-'])])"
    found = subprocess.run([sys.executable, "-c", code], input="b\na\n", capture_output=True, text=True)
    assert found.stdout == "['a', 'b']\n", found.stderr


def test_a_list_that_is_not_given_again() -> None:
    assert can_list_again(["photos"])
    code = "from vit.inputs.files import can_list_again; print(can_list_again(['photos', '-']))"
    for stdin, expected in ((subprocess.DEVNULL, "False\n"), (subprocess.PIPE, "True\n")):
        ended = subprocess.run([sys.executable, "-c", code], stdin=stdin, stdout=subprocess.PIPE, text=True)
        assert ended.stdout == expected


def test_a_name_with_magic_characters_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "[1].png").touch()
    assert names(tmp_path / "[1].png") == [str(tmp_path / "[1].png")]


def test_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(VitError, match="does not exist"):
        names(tmp_path / "nowhere")
    with pytest.raises(VitError, match="matches nothing"):
        names(tmp_path / "*.png")


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert names(tmp_path) == []
