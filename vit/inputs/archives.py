"""Image files in zip and tar archives, read without unpacking the archive."""

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vit.data.decode import DecodeError

ARCHIVES = (".zip", ".tar")
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # have no index: refused
IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".ico", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".qoi", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
MAX_BYTES = 2**30  # of a member
ZIP_HEADER = 30  # bytes of a local header before the name; APPNOTE 6.3.10, section 4.3.7


class Member(NamedTuple):
    """The position of a file in an archive.

    Args:
        offset: In a tar that of its content, in a zip that of its local header.
        compressed_size: Bytes in the archive.
        size: Bytes of the file.
        method: `tar`, or the compression method of a zip: 0 is stored, 8 deflated.
    """

    offset: int
    compressed_size: int
    size: int
    method: str


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive, whether or not it can be read without unpacking."""
    return name.lower().endswith((*ARCHIVES, *COMPRESSED_TARS))


def list_members(path: Path) -> list[tuple[str, Member]]:
    """The files in an archive, sorted by name as bytes.

    In a WebDataset, the files of one sample have the same name up to the first dot. If one of them is an
    image, those that are not are left out: they are its label or description.

    Raises:
        DecodeError: It cannot be read, or not without unpacking.
    """
    if path.name.lower().endswith(COMPRESSED_TARS):
        detail = "a compressed tar cannot be read in place: unpack it to .tar"
        raise DecodeError(path.name, "unsupported", detail)
    try:
        members = _zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, ValueError) as error:
        raise DecodeError(path.name, "unreadable", f"a damaged archive: {error}") from None
    except PermissionError:
        raise DecodeError(path.name, "permission", "the file may not be read") from None
    except OSError as error:
        raise DecodeError(path.name, "unreadable", error.strerror or str(error)) from None
    return sorted(_without_sidecars(members), key=lambda pair: os.fsencode(pair[0]))


def _zip_members(path: Path) -> list[tuple[str, Member]]:
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


def _tar_members(path: Path) -> list[tuple[str, Member]]:
    with tarfile.open(path, "r:") as archive:
        return [
            (
                info.name.removeprefix("./"),
                Member(info.offset_data, info.size, info.size, "tar" if info.isreg() else "link"),
            )
            for info in archive
            if not info.isdir()
        ]


def _without_sidecars(members: list[tuple[str, Member]]) -> Iterable[tuple[str, Member]]:
    with_image = {_sample(name) for name, _ in members if name.lower().endswith(IMAGE_SUFFIXES)}
    for name, member in members:
        if name.lower().endswith(IMAGE_SUFFIXES) or _sample(name) not in with_image:
            yield name, member


def _sample(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def read_member(path: Path, member: Member, name: str) -> bytes:
    """The bytes of a file in an archive.

    Args:
        path: The archive.
        member: The file's position.
        name: The file's name, for errors.

    Raises:
        DecodeError: The file is too large, compressed by another method, encrypted, a link, or damaged.
    """
    if member.size > MAX_BYTES or member.compressed_size > MAX_BYTES:
        raise DecodeError(
            name, "too_large", f"{member.size:,} bytes in an archive, the limit is {MAX_BYTES:,}"
        )
    if member.method not in ("tar", "0", "8"):
        raise DecodeError(name, "unsupported", f"in its archive it is {_storage(member.method)}")
    with path.open("rb") as stream:
        stream.seek(member.offset)
        if member.method != "tar":
            header = stream.read(ZIP_HEADER)
            stream.seek(sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28)), os.SEEK_CUR)
        content = stream.read(member.compressed_size)
    if len(content) < member.compressed_size:
        raise DecodeError(name, "truncated", "its archive ends before it does")
    if member.method == "8":
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
        except zlib.error as error:
            raise DecodeError(name, "unreadable", f"damaged in its archive: {error}") from None
    if len(content) != member.size:
        raise DecodeError(name, "unreadable", f"its archive promises {member.size:,} bytes and holds others")
    return content


def _storage(method: str) -> str:
    return {"encrypted": "encrypted", "link": "a link"}.get(method, f"packed by method {method}")
