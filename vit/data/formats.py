"""Picture formats that are not read: their names, from the bytes of a file."""

from pathlib import PurePath

HEAD = 512  # bytes at the start of a file that are enough to name its format
TAIL = 26  # bytes at its end: the footer of TGA

# First bytes of formats.
SIGNATURES = {
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"SIMPLE  =": "FITS",
    b"<svg": "SVG",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"DDS ": "DDS",
    b"gimp xcf": "GIMP",
    b"icns": "ICNS",
    b"AT&TFORM": "DjVu",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"/* XPM */": "XPM",
    b"FUJIFILMCCD-RAW": "RAW of a camera",
}

# Brands of ISO 14496-12 files: HEVC in HEIF (ISO 23008-12), AV1 in HEIF, and HEIF of any codec.
HEVC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = HEVC_BRANDS | {b"mif1", b"msf1"}

PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")


def is_heif(head: bytes) -> bool:
    """Whether a file is HEIF, the format of HEIC photographs; AVIF, the same with another codec, is not."""
    brands = _brands(head)
    return bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def begins_like_a_picture(head: bytes) -> bool:
    """Whether a file has the first bytes of a format that is read."""
    return head.startswith(PICTURE_STARTS) or bool(_brands(head) & AVIF_BRANDS)


def unsupported_format(head: bytes, tail: bytes, name: str) -> str | None:
    """The name of a picture format that is not read; None if the bytes are none that is known.

    Args:
        head: The first `HEAD` bytes of the file, or all that it has.
        tail: The last `TAIL` bytes.
        name: Of the file: TGA files of the first version are known by their suffix alone.
    """
    start = head.lstrip()
    for magic, kind in SIGNATURES.items():
        if start.startswith(magic) or head.startswith(magic):
            return kind
    if start.startswith((b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in head:
        return "SVG"
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[4:12] == b"ftypcrx ":
        return "RAW of a camera"
    if _is_pcx(head):
        return "PCX"
    if tail.endswith(b"TRUEVISION-XFILE.\0") or (_suffix(name) in TGA_SUFFIXES and _is_tga(head)):
        return "TGA"
    return None


TGA_SUFFIXES = (".tga", ".icb", ".vda", ".vst")


def _brands(head: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO 14496-12 file; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}


def _is_pcx(head: bytes) -> bool:
    """ZSoft's header: maker, version, run-length encoding, bits; the byte at 64 is reserved and 0."""
    return (
        len(head) >= 128
        and head[0] == 10
        and head[1] in (0, 2, 3, 4, 5)
        and head[2] == 1
        and head[3] in (1, 2, 4, 8)
        and head[64] == 0
    )


def _is_tga(head: bytes) -> bool:
    """Truevision's header: color map, kind of image, and bits per pixel have few values."""
    return (
        len(head) >= 18
        and head[1] < 2
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[16] in (8, 15, 16, 24, 32)
    )


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
