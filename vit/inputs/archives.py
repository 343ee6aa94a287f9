"""Pictures inside zip and tar archives, read where they lie."""

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.data.decode import DecodeError

ARCHIVES = (".zip", ".tar")
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # one file of these is read by unpacking all
PICTURES = (
    ".avif", ".bmp", ".gif", ".ico", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".qoi", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
LARGEST = 2**30  # bytes of a member
ZIP_HEADER = 30  # bytes of a local header before the name; APPNOTE 6.3.10, section 4.3.7


class Member(NamedTuple):
    """Where a file lies in an archive.

    Args:
        offset: Of its bytes in a tar, of its local header in a zip.
        packed: Bytes that it takes there.
        size: Bytes of the file.
        method: `tar`, or of a zip the number of the method: 0 is stored, 8 deflated.
    """

    offset: int
    packed: int
    size: int
    method: str


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive, of one that can be read in place or not."""
    return name.lower().endswith((*ARCHIVES, *PACKED))


def members(path: Path) -> list[tuple[str, Member]]:
    """The files in an archive, sorted by name as bytes.

    Of a sample in the sense of WebDataset (files side by side whose names are alike up to the first dot) that
    has a picture, what is no picture by its name is left out: it is the sample's label or description.

    Raises:
        DecodeError: It cannot be read, or not in place.
    """
    if path.name.lower().endswith(PACKED):
        told = "a compressed tar cannot be read in place: unpack it to .tar"
        raise DecodeError(path.name, "unsupported", told)
    try:
        found = _in_zip(path) if path.suffix.lower() == ".zip" else _in_tar(path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, ValueError) as error:
        raise DecodeError(path.name, "unreadable", f"a damaged archive: {error}") from None
    except PermissionError:
        raise DecodeError(path.name, "permission", "the file may not be read") from None
    except OSError as error:
        raise DecodeError(path.name, "unreadable", error.strerror or str(error)) from None
    return sorted(_without_sidecars(found), key=lambda pair: os.fsencode(pair[0]))


def _in_zip(path: Path) -> list[tuple[str, Member]]:
    with zipfile.ZipFile(path) as archive:
        return [
            (
                info.filename,
                Member(
                    info.header_offset, info.compress_size, info.file_size,
                    "encrypted" if info.flag_bits & 1 else str(info.compress_type),
                ),
            )
            for info in archive.infolist()
            if not info.is_dir()
        ]  # fmt: skip


def _in_tar(path: Path) -> list[tuple[str, Member]]:
    with tarfile.open(path, "r:") as archive:
        return [
            (
                info.name.removeprefix("./"),
                Member(info.offset_data, info.size, info.size, "tar" if info.isreg() else "link"),
            )
            for info in archive
            if not info.isdir()
        ]


def _without_sidecars(found: list[tuple[str, Member]]) -> Iterable[tuple[str, Member]]:
    pictures = {_sample(name) for name, _ in found if name.lower().endswith(PICTURES)}
    for name, member in found:
        if name.lower().endswith(PICTURES) or _sample(name) not in pictures:
            yield name, member


def _sample(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def read_member(path: Path, member: Member, name: str) -> bytes:
    """The bytes of a file in an archive.

    Args:
        path: The archive.
        member: Where the file lies.
        name: For errors.

    Raises:
        DecodeError: The file is too large, packed in another way, or damaged.
    """
    if member.size > LARGEST or member.packed > LARGEST:
        raise DecodeError(name, "too_large", f"{member.size:,} bytes in an archive, the limit is {LARGEST:,}")
    if member.method not in ("tar", "0", "8"):
        raise DecodeError(name, "unsupported", f"in its archive it is {_packing(member.method)}")
    with path.open("rb") as stream:
        stream.seek(member.offset)
        if member.method != "tar":
            header = stream.read(ZIP_HEADER)
            stream.seek(sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28)), os.SEEK_CUR)
        content = stream.read(member.packed)
    if len(content) < member.packed:
        raise DecodeError(name, "truncated", "its archive ends before it does")
    if member.method == "8":
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
        except zlib.error as error:
            raise DecodeError(name, "unreadable", f"damaged in its archive: {error}") from None
    if len(content) != member.size:
        raise DecodeError(name, "unreadable", f"its archive promises {member.size:,} bytes and holds others")
    return content


def _packing(method: str) -> str:
    return {"encrypted": "encrypted", "link": "a link"}.get(method, f"packed by method {method}")
