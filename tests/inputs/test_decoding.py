"""Files whose decoder hangs, crashes or takes too much memory, and the others."""

import io
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vit.data.decode import DecodeError
from vit.data.preprocess import Preprocess
from vit.inputs.decoding import Decoder, Limits, decoder
from vit.inputs.files import Entry, list_files

GREY = Preprocess(5, 7, 1, (0.5,), (0.5,))


def status(decoding: Decoder, entry: Entry, future: object = None) -> tuple[str, str]:
    with pytest.raises(DecodeError) as caught:
        decoding.result(entry, future or decoding.submit(entry))  # type: ignore[arg-type]
    return caught.value.status, caught.value.detail


@pytest.fixture
def good(tmp_path: Path) -> Entry:
    Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7)).save(tmp_path / "good.png")
    return Entry("good.png", tmp_path / "good.png")


def pixels(decoding: Decoder, entry: Entry) -> list[int]:
    return decoding.result(entry, decoding.submit(entry)).flatten().tolist()


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, good: Entry) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (7000, 7000), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "slow.png", compress_level=0)
    slow = [Entry("slow.png", tmp_path / "slow.png")] * 3
    with decoder(GREY, Limits(seconds=0.02)) as decoding:
        futures = [decoding.submit(entry) for entry in slow]
        for entry, future in zip(slow, futures, strict=True):
            assert status(decoding, entry, future) == ("timeout", "not decoded after 0.02 s")
    with decoder(GREY, Limits()) as decoding:
        assert len(pixels(decoding, slow[0])) == 35
        assert pixels(decoding, good) == list(range(35))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # has no writer
    with decoder(GREY, Limits()) as decoding:
        found = status(decoding, Entry("pipe.png", tmp_path / "pipe.png"))
        assert found == ("not_an_image", "it is a pipe, a socket or a device")


def test_a_decoder_that_dies_is_replaced(good: Entry) -> None:
    with decoder(GREY, Limits()) as decoding:
        for _ in range(3):
            dying = decoding.pool.schedule(os._exit, (7,))
            assert status(decoding, good, dying) == ("crashed", "its decoder ended with exit code 7")
        aborted = decoding.pool.schedule(os.abort)
        assert status(decoding, good, aborted) == ("crashed", "its decoder was ended by SIGABRT")
        assert pixels(decoding, good) == list(range(35))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_a_file_that_takes_too_much_memory_is_too_large(tmp_path: Path, good: Entry) -> None:
    Image.new("L", (9000, 9000)).save(tmp_path / "large.png")
    large = Entry("large.png", tmp_path / "large.png")
    with decoder(GREY, Limits(memory=2**24)) as decoding:
        assert status(decoding, large)[0] == "too_large"
        assert pixels(decoding, good) == list(range(35))
    with decoder(GREY, Limits()) as decoding:
        assert set(pixels(decoding, large)) == {0}


def test_large_jpegs_are_decoded_at_full_scale_unless_asked_otherwise(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (211, 307), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.jpg")
    entry = Entry("large.jpg", tmp_path / "large.jpg")
    with decoder(GREY) as decoding:
        whole = pixels(decoding, entry)
    fast = replace(GREY, fast_jpeg=True)
    with decoder(fast) as decoding:
        reduced = pixels(decoding, entry)
    assert whole == GREY.pixels(entry.path).flatten().tolist()
    assert reduced == np.asarray(fast.read(entry.path)).flatten().tolist()
    assert reduced != whole


def test_a_format_is_known_by_the_suffix_of_a_member(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (7, 5)).save(content, "TGA")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.tga", content.getvalue()[:-26])  # the first version has no footer
    with decoder(GREY) as decoding:
        [entry] = list_files([str(tmp_path / "a.zip")])
        assert status(decoding, entry) == ("unsupported", "its format is TGA")
