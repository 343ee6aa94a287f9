"""Pictures in archives have rows like those in folders."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from vit.data.decode import DecodeError
from vit.inputs.archives import list_members, read_member
from vit.inputs.files import list_files

FILES = {"b/x.png": b"pixels" * 50, "a.jpg": b"", "b-c.png": os.urandom(999), "ü\n.png": b"=1"}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("b")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("./b")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=["stored", "deflated", "tar"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "tar":
        return tarred(tmp_path / "a.tar", FILES)
    method = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[request.param]
    return zipped(tmp_path / "a.zip", FILES, method)


def test_every_file_as_it_was(archive: Path) -> None:
    found = list_members(archive)
    assert [name for name, _ in found] == sorted(FILES, key=os.fsencode)
    for name, member in found:
        assert read_member(archive, member, name) == FILES[name]


def test_an_archive_is_a_folder(archive: Path, tmp_path: Path) -> None:
    (tmp_path / (archive.stem + "-")).touch()
    (tmp_path / (archive.name + "0")).touch()
    alone = [entry.name for entry in list_files([str(archive)])]
    assert alone == sorted(FILES, key=os.fsencode)
    inside = [f"{archive.name}/{name}" for name in alone]
    found = [entry.name for entry in list_files([str(tmp_path)])]
    assert found == sorted([*inside, "a-", archive.name + "0"], key=os.fsencode)


def test_labels_beside_pictures_have_no_row(tmp_path: Path) -> None:
    sample = {
        "s/000.jpg": b"1",
        "s/000.cls": b"3",
        "s/000.seg.PNG": b"2",
        "s/000.json": b"{}",
        "readme.txt": b"?",
    }
    path = tarred(tmp_path / "shard.tar", sample)
    assert [name for name, _ in list_members(path)] == ["readme.txt", "s/000.jpg", "s/000.seg.PNG"]


def test_a_cut_archive_has_a_row(archive: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 3])
    (entry,) = list_files([str(archive.parent)])
    assert entry.name == f"{archive.name}/"
    assert entry.failure is not None
    assert entry.failure[0] == "unreadable"


def test_a_damaged_member_is_the_only_one_lost(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", FILES)
    name, member = next(pair for pair in list_members(path) if pair[0] == "b/x.png")
    content = bytearray(path.read_bytes())
    start = member.offset + 30 + len(name)
    content[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="damaged in its archive") as caught:
        read_member(path, member, name)
    assert caught.value.status == "unreadable"
    others = [pair for pair in list_members(path) if pair[0] != name]
    assert [read_member(path, member, name) for name, member in others] == [FILES[name] for name, _ in others]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_says_what_to_do(tmp_path: Path, mode: str) -> None:
    path = tarred(tmp_path / f"a.tar.{mode[2:]}", FILES, mode)
    (entry,) = list_files([str(path)])
    assert entry.failure == ("unsupported", "a compressed tar cannot be read in place: unpack it to .tar")


def test_what_cannot_be_read_in_place_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"1" * 99}, zipfile.ZIP_BZIP2)
    ((name, member),) = list_members(path)
    with pytest.raises(DecodeError, match="packed by method 12"):
        read_member(path, member, name)
    with pytest.raises(DecodeError, match="the limit is 1,073,741,824"):
        read_member(path, member._replace(size=2**31), name)
    with pytest.raises(DecodeError, match="its archive ends before it does"):
        read_member(path, member._replace(method="tar", compressed_size=10**6), name)
    with pytest.raises(DecodeError, match="it is encrypted"):
        read_member(path, member._replace(method="encrypted"), name)


def test_a_bomb_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"\0" * 10**7})
    ((name, member),) = list_members(path)
    with pytest.raises(DecodeError, match="promises 5 bytes and holds others"):
        read_member(path, member._replace(size=5), name)


def test_links_in_a_tar_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    ((name, member),) = list_members(tmp_path / "a.tar")
    with pytest.raises(DecodeError, match="it is a link"):
        read_member(tmp_path / "a.tar", member, name)


def test_rows_of_an_archive_are_those_of_its_folder(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    from vit.cli import main

    Image.new("RGB", (40, 30), "red").save(pictures / "large.png")
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n")
    files = {str(file.relative_to(pictures)): file.read_bytes() for file in pictures.rglob("*.png")}
    outputs = []
    for source in (pictures, zipped(tmp_path / "p.zip", files), tarred(tmp_path / "p.tar", files)):
        outputs.append(tmp_path / f"{source.name}.csv")
        assert main(["predict", str(digits_run), str(source), "--output", str(outputs[-1])]) == 3
    assert outputs[0].read_bytes() == outputs[1].read_bytes() == outputs[2].read_bytes()
