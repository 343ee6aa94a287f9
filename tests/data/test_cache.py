"""Decoded pictures on disk: equal to those decoded, checked, limited in size, and never in the way."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.cache import pictures as decoded
from vit.data.cache.pictures import Decoded, cache_key, load_decoded, store_decoded
from vit.data.cache.tensors import cache_folder
from vit.data.found import ReadOptions
from vit.data.images import FileImages, TensorImages
from vit.data.preprocess import Preprocess
from vit.data.readers import decoding
from vit.data.readers.decoding import decode
from vit.data.readers.folder import read_folder
from vit.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that keeps everything."""
    monkeypatch.setenv("VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VIT_CACHE_GB", raising=False)
    monkeypatch.setattr(decoding, "WORTH_STORING", 0.0)
    return tmp_path / "cache" / "pixels"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five noisy pictures of 5 x 7, the third of them damaged."""
    paths = [tmp_path / "pictures" / f"{name}.png" for name in "abcde"]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(path)
    paths[2].write_bytes(b"no picture")
    return paths


def unread() -> Iterator[Path]:
    pytest.fail("the files were decoded again")
    yield Path()


def same(left: Decoded, right: Decoded) -> bool:
    return torch.equal(left.pixels, right.pixels) and all(
        getattr(left, name) == getattr(right, name) for name in ("positions", "digests", "failures")
    )


SIZE = Preprocess(5, 7)


def test_the_second_time_nothing_is_decoded(files: list[Path]) -> None:
    key = cache_key(files, SIZE)
    first = decode(files, 5, SIZE, key=key)
    assert first.positions == [0, 1, 3, 4]
    assert [position for position, _ in first.failures] == [2]
    assert first.digests == [hashlib.sha256(files[i].read_bytes()).hexdigest() for i in first.positions]
    assert torch.equal(first.pixels[2], torch.from_numpy(np.array(Image.open(files[3]))).permute(2, 0, 1))
    second = decode(unread(), 5, SIZE, key=key)
    assert same(first, second)
    assert second.pixels.dtype == torch.uint8


def test_bytes_have_the_digests_of_files(files: list[Path]) -> None:
    contents = [file.read_bytes() for file in files]
    assert same(decode(contents, 5, SIZE), decode(files, 5, SIZE))


def test_pixels_that_were_not_kept_leave_the_rest(files: list[Path]) -> None:
    key = cache_key(files, SIZE, False)
    first = decode(files, 5, SIZE, keep=False, key=key)
    assert first.pixels.shape == (0, 3, 5, 7)
    assert same(first, decode(unread(), 5, SIZE, keep=False, key=key))


def test_the_key_follows_files_and_settings(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache_key(files, SIZE)
    assert cache_key(files, SIZE) == key
    keys = {key, cache_key(files, Preprocess(7, 5)), cache_key(files[:4], SIZE), cache_key(files[::-1], SIZE)}
    state = files[0].stat()
    files[0].write_bytes(files[1].read_bytes()[: state.st_size])
    os.utime(files[0], ns=(state.st_atime_ns, state.st_mtime_ns))  # the size and time of before
    keys.add(cache_key(files, SIZE))
    files[4].unlink()
    keys.add(cache_key(files, SIZE))
    monkeypatch.setattr(decoded.metadata, "version", lambda package: "0.0")
    keys.add(cache_key(files, SIZE))
    assert len(keys) == 7


@pytest.mark.parametrize("damage", ["pixel", "header", "short", "empty"])
def test_a_damaged_file_is_made_anew(files: list[Path], folder: Path, damage: str) -> None:
    key = cache_key(files, SIZE)
    first = decode(files, 5, SIZE, key=key)
    [file] = folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    at = {"pixel": -50, "header": 9, "short": 0, "empty": 0}[damage]
    content[at] ^= 1
    file.write_bytes({"short": content[:-1], "empty": b""}.get(damage, content))
    assert load_decoded(key) is None
    assert same(decode(files, 5, SIZE, key=key), first)
    assert same(decode(unread(), 5, SIZE, key=key), first)


def test_a_cache_that_cannot_be_written_is_no_cache(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    key = cache_key(files, SIZE)
    for place in (tmp_path / "file", tmp_path / "file" / "below", "\0"):
        if str(place) != "\0":
            monkeypatch.setenv("VIT_CACHE", str(place))
        else:
            monkeypatch.delenv("VIT_CACHE")
            monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
            assert cache_folder() is None
        assert decode(files, 5, SIZE, key=key).positions == [0, 1, 3, 4]
        assert load_decoded(key) is None


def test_what_was_quick_to_decode_is_not_kept(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "WORTH_STORING", 600.0)
    decode(files, 5, SIZE, key=cache_key(files, SIZE))
    assert not folder.exists()


def pictures_of(kilobytes: int) -> Decoded:
    return Decoded(torch.zeros(1, 1, kilobytes, 1000, dtype=torch.uint8), [0], ["0" * 64], [])


def test_the_files_used_longest_ago_are_removed_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIT_CACHE_GB", "0.0003")  # 300 kB
    for at, key in enumerate(("a", "b")):
        store_decoded(key, pictures_of(120))
        os.utime(folder / f"{key}.safetensors", (1000 + at, 1000 + at))
    assert load_decoded("a") is not None  # used now: b is the older one
    store_decoded("c", pictures_of(120))
    assert [key for key in "abc" if load_decoded(key)] == ["a", "c"]
    store_decoded("d", pictures_of(400))  # larger than all that is allowed: nothing is removed for it
    assert [key for key in "acd" if load_decoded(key)] == ["a", "c"]
    monkeypatch.setenv("VIT_CACHE_GB", "0")
    store_decoded("e", pictures_of(1))
    assert load_decoded("e") is None


def test_half_of_the_free_disk_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 0, 500_000))
    store_decoded("a", pictures_of(300))
    assert load_decoded("a") is None
    store_decoded("b", pictures_of(200))
    assert load_decoded("b") is not None


def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv("VIT_CACHE_GB", text)
        with pytest.raises(UsageError, match=rf"VIT_CACHE_GB is '{text}', expected a number of gigabytes"):
            store_decoded("a", pictures_of(1))


def test_processes_that_write_at_once_leave_a_whole_file(tmp_path: Path, folder: Path) -> None:
    code = (
        "import torch; from vit.data.cache.pictures import Decoded, load_decoded, store_decoded\n"
        "pixels = torch.full((40, 3, 5, 7), 9, dtype=torch.uint8)\n"
        "for _ in range(20):\n"
        "    store_decoded('k', Decoded(pixels, list(range(40)), ['0' * 64] * 40, []))\n"
        "    assert load_decoded('k').pixels.float().mean() == 9\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert sorted(path.name for path in folder.iterdir()) == ["k.safetensors"]


def test_a_folder_is_read_from_the_cache(files: list[Path], folder: Path) -> None:
    root = files[0].parent
    for index, file in enumerate(files):
        (root / "xy"[index % 2]).mkdir(exist_ok=True)
        file.rename(root / "xy"[index % 2] / file.name)
    whole = {gb: ReadOptions(size=(5, 7), memory_gb=gb) for gb in (4.0, 0.0)}
    first = {gb: read_folder(root, options) for gb, options in whole.items()}
    assert len(list(folder.glob("*.safetensors"))) == 2
    second = {gb: read_folder(root, options) for gb, options in whole.items()}
    for gb, kind in ((4.0, TensorImages), (0.0, FileImages)):
        left, right = first[gb].parts["all"], second[gb].parts["all"]
        assert isinstance(right, kind)
        assert left.digests == right.digests
        assert len(set(right.digests)) == 4
        assert torch.equal(left[[3, 0]][0], right[[3, 0]][0])
        assert first[gb].skipped == second[gb].skipped == [("x/c.png", first[gb].skipped[0][1])]
    shutil.rmtree(folder)
    read_folder(root, ReadOptions(size=(5, 7), cache=False))
    assert not folder.exists()


def test_pixels_from_the_cache_may_be_changed(files: list[Path]) -> None:
    """They are mapped from a file; a change stays in this process."""
    key = cache_key(files, SIZE)
    first = decode(files, 5, SIZE, key=key).pixels.clone()
    decode(unread(), 5, SIZE, key=key).pixels.zero_()
    assert torch.equal(decode(unread(), 5, SIZE, key=key).pixels, first)


def test_a_bar_moves_on_a_terminal(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decode(files, 5, SIZE)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.delenv("NO_COLOR", raising=False)
    decode(files, 5, SIZE)
    captured = capsys.readouterr()
    assert "reading pictures" in captured.err
    assert "5/5" in captured.err
    assert captured.out == ""
