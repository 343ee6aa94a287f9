import io
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from vit.data.decode import FORMATS, STATUSES, DecodeError, open_image
from vit.data.preprocess import Preprocess
from vit.errors import VitError

HEIGHT, WIDTH = 13, 17


def smooth(channels=3):
    """A picture whose corners differ, and that survives JPEG: (HEIGHT, WIDTH, channels), or grey for 0."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = np.stack((x * 15, y * 19, (x + y) * 8, 255 - x * 9), -1).astype(np.uint8)
    return planes[..., :channels] if channels else planes[..., 0]


def saved(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def status(source, **options):
    with pytest.raises(DecodeError) as caught:
        open_image(source, **options)
    assert caught.value.status in STATUSES
    assert "\n" not in str(caught.value)
    return caught.value.status


@pytest.mark.parametrize("format", ["BMP", "PNG", "PPM", "TIFF", "QOI"])
def test_lossless_formats_come_back_exactly(format):
    array = smooth()
    result = open_image(saved(Image.fromarray(array), format))
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result), array)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "JPEG2000"])
def test_lossy_formats_come_back_nearly(format):
    array = smooth()
    result = np.asarray(open_image(saved(Image.fromarray(array), format, quality=95)))
    assert result.shape == array.shape
    assert np.abs(result.astype(int) - array).mean() < 12


def test_formats_are_rasters_only():
    assert not {"EPS", "PDF", "FITS", "WMF"} & set(FORMATS)
    assert status(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n") == "unsupported"
    assert status(b"%PDF-1.7\n") == "unsupported"


def test_sources_may_be_paths_bytes_and_open_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(smooth()), "PNG"))
    with open(path, "rb") as file:
        results = [
            open_image(path),
            open_image(str(path)),
            open_image(path.read_bytes()),
            open_image(file),
        ]
        assert not file.closed
    for result in results:
        assert np.array_equal(np.asarray(result), smooth())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_as_pillow_does(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(smooth()), format, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
    result = open_image(data)
    assert result.size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert np.array_equal(np.asarray(result), np.asarray(expected))


def test_damaged_exif_does_not_cost_the_picture():
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0"
    result = open_image(saved(Image.fromarray(smooth()), "JPEG", exif=exif))
    assert result.size == (WIDTH, HEIGHT)


def test_grey_stays_grey():
    for mode in ("L", "LA", "1"):
        assert open_image(saved(Image.fromarray(smooth(0)).convert(mode), "PNG")).mode == "L"


def test_one_bit_becomes_black_and_white():
    array = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5
    result = open_image(saved(Image.fromarray(array), "PNG"))
    assert np.array_equal(np.asarray(result), array * 255)


def test_alpha_is_laid_over_white():
    array = smooth(4).astype(np.float64)
    expected = array[..., :3] * array[..., 3:] / 255 + 255 - array[..., 3:]
    result = np.asarray(open_image(saved(Image.fromarray(array.astype(np.uint8)), "PNG")))
    assert np.abs(result - expected).max() <= 1.5


def test_transparent_palette_entry_becomes_white():
    picture = Image.fromarray(smooth(0) // 86).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    expected = np.array([[10, 20, 30], [255, 255, 255], [70, 80, 90]])[np.asarray(picture)]
    for format, transparency in (("PNG", 1), ("PNG", b"\xff\x00\xff"), ("GIF", 1)):
        result = open_image(saved(picture, format, transparency=transparency))
        assert result.mode == "RGB"
        assert np.array_equal(np.asarray(result), expected)


def test_cmyk_becomes_rgb():
    cmyk = Image.fromarray(smooth()).convert("CMYK")
    result = open_image(saved(cmyk, "TIFF"))
    assert np.array_equal(np.asarray(result), np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    array = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    result = open_image(saved(Image.fromarray(array), format))
    assert result.mode == "L"
    assert np.array_equal(np.asarray(result), np.rint(array / 257))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [[0, 128, 255]]),
        (np.array([[-2.0, 0.0, 2.0]], np.float32), [[0, 128, 255]]),
        (np.array([[0, 65535, 257]], np.int32), [[0, 255, 1]]),
        (np.array([[0, 100_000, 50_000]], np.int32), [[0, 255, 128]]),
        (np.array([[7.0, 7.0, 7.0]], np.float32), [[0, 0, 0]]),
        (np.array([[np.nan, 0.0, 1.0]], np.float32), [[0, 0, 255]]),
    ],
)
def test_32_bit_grey_is_scaled_to_its_range(array, expected):
    assert np.asarray(open_image(saved(Image.fromarray(array), "TIFF"))).tolist() == expected


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((HEIGHT, WIDTH, 3), level, np.uint8)) for level in (0, 255)]
    for format in ("GIF", "TIFF", "WEBP"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        assert np.asarray(open_image(data)).max() < 5


def test_pixels_are_counted_before_decoding(monkeypatch):
    data = saved(Image.fromarray(smooth()), "PNG")
    assert open_image(data, max_pixels=HEIGHT * WIDTH).size == (WIDTH, HEIGHT)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert status(data, max_pixels=HEIGHT * WIDTH - 1) == "too_large"


@pytest.mark.parametrize("side", [11_000, 30_000])  # Pillow warns of the first and refuses the second
def test_a_bomb_neither_warns_nor_is_decoded(side):
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    assert status(header, max_pixels=100_000_000) == "too_large"


def bomb(side):
    """A black 1-bit PNG of side x side, with all of its pixels: a thousandth of them in bytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind, content):
        body = kind + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + end


BOMBS = {
    "full.png": bomb(40_000),
    "header.gif": b"GIF89a" + b"\xff\xff\xff\xff" + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
    "header.ppm": b"P6 60000 60000 255\n",
    "header.bmp": b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    + (60_000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24),
    "header.qoi": b"qoif" + (60_000).to_bytes(4, "big") * 2 + b"\3\0",
}  # fmt: skip


def test_bombs_are_refused_from_their_headers(tmp_path):
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
        assert len(content) < 300_000
    program = f"""
import resource, sys
from dataclasses import replace
from pathlib import Path
from vit.data.decode import DecodeError, open_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
before = peak()
for file in sorted(Path({str(tmp_path)!r}).iterdir()):
    try:
        open_image(file)
    except DecodeError as error:
        print(file.name, error.status, peak() - before)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split() for line in output.splitlines()]
    assert {name: status for name, status, _ in lines} == dict.fromkeys(BOMBS, "too_large")
    assert max(int(megabytes) for _, _, megabytes in lines) < 200


def test_color_profiles_are_not_applied():
    """As torchvision's and timm's loaders read the pictures that weights were trained on."""
    from PIL import ImageCms

    plain, profiled = io.BytesIO(), io.BytesIO()
    picture = Image.new("RGB", (11, 7), (10, 200, 90))
    picture.save(plain, "PNG")
    picture.save(
        profiled, "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    )
    assert b"iCCP" in profiled.getvalue()
    assert open_image(profiled.getvalue()).tobytes() == open_image(plain.getvalue()).tobytes()


def test_statuses_of_bad_files(tmp_path):
    (tmp_path / "text.jpg").write_text("hello, I am no picture at all")
    (tmp_path / "empty.png").write_bytes(b"")
    assert status(tmp_path / "nothing.png") == "missing"
    assert status(tmp_path / "text.jpg") == "not_an_image"
    assert status(tmp_path) == "not_an_image"
    assert status(tmp_path / "empty.png") == "truncated"
    assert status(b"\x89PNG\r\n\x1a\n" + b"?" * 50) == "unreadable"


def test_permission(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.png").touch()
    monkeypatch.setattr("builtins.open", refuse)
    assert status(tmp_path / "secret.png") == "permission"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_file_cut_short_is_an_error_never_half_a_picture(format, part):
    noise = np.random.default_rng(0).integers(0, 256, (61, 67, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), format)
    found = status(data[: int(len(data) * part)])
    assert found in ("truncated", "unreadable")
    if format != "TIFF":
        assert found == "truncated"


def test_random_damage_is_always_a_decode_error():
    generator = np.random.default_rng(0)
    data = saved(Image.fromarray(smooth()), "PNG")
    for _ in range(100):
        damaged = bytearray(data)
        for offset in generator.integers(8, len(data), 5):
            damaged[offset] = generator.integers(256)
        with suppress(DecodeError):
            open_image(bytes(damaged))


def test_errors_name_the_file_and_pickle(tmp_path):
    with pytest.raises(DecodeError, match=r"cat\.png: missing: .*; check the path") as caught:
        open_image(tmp_path / "cat.png")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.status) == (str(caught.value), "missing")


def test_threads_leave_the_warning_filters_as_they_were():
    picture = Image.fromarray(smooth(0) // 86).convert("P")
    data = saved(picture, "PNG", transparency=b"\xff\x00\xff")
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        return [open_image(data).mode for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        assert {mode for modes in pool.map(work, range(4)) for mode in modes} == {"RGB"}
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("side", "decoded"),
    [(64, 64), (127, 127), (128, 64), (255, 128), (256, 64), (512, 64)],  # libjpeg: 1, 1/2, 1/4 and 1/8
)
def test_a_large_jpeg_is_decoded_no_larger_than_needed(side, decoded):
    picture = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    found = open_image(saved(picture, "JPEG"), min_side=32)
    assert found.size == (decoded, decoded)
    assert (
        np.abs(np.asarray(found.resize((16, 16)), int) - np.asarray(picture.resize((16, 16)), int)).max() < 9
    )


@pytest.mark.parametrize("turn", [1, 6])
def test_a_photograph_read_at_reduced_scale_is_nearly_the_same(turn):
    astronaut = pytest.importorskip("skimage.data").astronaut()
    photograph = Image.fromarray(astronaut[:, :400]).resize((1500, 1920))
    exif = Image.Exif()
    exif[0x0112] = turn
    file = saved(photograph, "JPEG", quality=92, exif=exif)
    assert open_image(file, min_side=110).size != open_image(file).size
    preprocess = Preprocess(96, 64, crop=0.875)
    found = np.asarray(replace(preprocess, fast_jpeg=True).read(file), int)
    whole = np.asarray(preprocess.read(file), int)
    assert 0 < np.abs(found - whole).mean() < 1.0
    assert np.abs(found - whole).max() < 16


def test_other_formats_and_sizes_ignore_min_side():
    picture = Image.linear_gradient("L").resize((300, 200))
    assert open_image(saved(picture, "PNG"), min_side=8).size == (300, 200)
    assert open_image(saved(picture, "JPEG"), min_side=101).size == (300, 200)


def test_a_large_jpeg_cut_short_is_found_at_reduced_scale_too():
    whole = saved(Image.effect_noise((512, 512), 90).convert("RGB"), "JPEG")
    assert status(whole[: len(whole) // 2], min_side=16) == "truncated"


HEIF = b"\0\0\0\x1cftyp%b\0\0\0\0%b" + b"meta" * 9
OTHER_FORMATS = [
    *((HEIF % (brand, b"mif1" + brand), "HEIF") for brand in
      (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")),
    (HEIF % (b"jpeg", b"heicmif1"), "HEIF"),
    (b"\xff\x0a" + bytes(40), "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
    (bytes(2) + b"\2" + bytes(30) + b"TRUEVISION-XFILE.\0", "TGA"),
    (b"\n\5\1\x08" + bytes(124), "PCX"),
    (bytes(128) + b"DICM" + bytes(9), "DICOM"),
    (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    (b"v/1\1" + bytes(40), "OpenEXR"),
    (b"8BPS" + bytes(40), "Photoshop"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), OTHER_FORMATS)
def test_formats_that_are_not_read_are_named(content, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with pytest.raises(DecodeError, match=f"unsupported: its format is {kind}") as caught:
        open_image(content)
    assert caught.value.status == "unsupported"
    assert ("pip install 'vit[heic]'" in str(caught.value)) == (kind == "HEIF")


@pytest.mark.parametrize("content", [b"\0" * 200, b"\n\n\1\x08 text " * 9, b"\0\0\0\x18ftypisom" + bytes(99)])
def test_other_files_are_no_pictures(content):
    assert status(content) == "not_an_image"


def test_pillows_own_pcx_and_tga_are_named(tmp_path):
    for kind in ("PCX", "TGA"):
        assert status(saved(Image.fromarray(smooth()), kind)) == "unsupported"
    plain = saved(Image.fromarray(smooth()), "TGA")[:-26]  # the first version has no footer
    assert status(plain) == "not_an_image"
    (tmp_path / "a.TGA").write_bytes(plain)
    assert status(tmp_path / "a.TGA") == "unsupported"
    (tmp_path / "notes.tga").write_text("no picture, whatever its name says")
    assert status(tmp_path / "notes.tga") == "not_an_image"


def heic(picture, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_heic_is_read_upright(orientation):
    stored = Image.fromarray(smooth()).resize((WIDTH * 4, HEIGHT * 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = heic(stored, exif=exif.tobytes())
    turned = stored.copy()
    turned.getexif()[0x0112] = orientation
    expected = ImageOps.exif_transpose(turned)
    found = open_image(data)
    assert found.size == expected.size
    assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).mean() < 8
    assert np.array_equal(np.asarray(open_image(data[:8] + b"mif1" + data[12:])), np.asarray(found))
    assert status(data[: len(data) * 3 // 4]) == "truncated"
    assert status(data, max_pixels=100) == "too_large"


def test_avif_is_not_taken_for_heic():
    data = saved(Image.fromarray(smooth()), "AVIF")
    assert open_image(data[:8] + b"mif1" + data[12:]).size == (WIDTH, HEIGHT)
    assert status(data[:60]) == "unreadable"


@pytest.mark.parametrize("compressed", [True, False])
def test_pngs_with_much_text_or_a_large_profile_are_read(compressed):
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("workflow", "node " * 500_000, zip=compressed)
    data = saved(Image.fromarray(smooth()), "PNG", pnginfo=text, icc_profile=bytes(3_000_000))
    assert np.array_equal(np.asarray(open_image(data)), smooth())


def test_a_png_whose_text_is_a_bomb_is_too_large():
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("bomb", " " * (2**26 + 9), zip=True)
    data = saved(Image.fromarray(smooth()), "PNG", pnginfo=text)
    assert len(data) < 100_000
    assert status(data) == "too_large"


def test_arrays_are_taken_as_they_are():
    for array in (smooth(), smooth(0), smooth()[::-1, ::2]):
        found = open_image(array)
        assert found.mode == ("RGB" if array.ndim == 3 else "L")
        assert np.array_equal(np.asarray(found), array)


def test_pillow_images_are_made_upright_and_left_as_they_are():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(smooth()), "JPEG", exif=exif)
    picture = Image.open(io.BytesIO(data))
    found = open_image(picture)
    assert np.array_equal(np.asarray(found), np.asarray(open_image(data)))
    assert picture.size == (WIDTH, HEIGHT)
    assert picture.getexif()[0x0112] == 6
    assert open_image(found) is found  # it has no EXIF any more
    transposed = ImageOps.exif_transpose(picture)
    assert np.array_equal(np.asarray(open_image(transposed)), np.asarray(found))
    clear = Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, 0))
    assert open_image(clear).getextrema() == ((255, 255),) * 3


def test_a_pillow_image_that_cannot_be_decoded_is_a_decode_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (61, 67, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG")
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with Image.open(tmp_path / "half.jpg") as picture:
        assert status(picture) == "truncated"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "a NoneType"),
        ([b"a"], "a list"),
        (np.zeros((3, 5, 7), np.uint8), r"numpy.ndarray of shape \(3, 5, 7\) and dtype uint8"),
        (np.zeros((5, 7, 4), np.uint8), r"shape \(5, 7, 4\)"),
        (np.zeros((5, 7, 3), np.float32), "dtype float32"),
        (np.zeros((0, 7, 3), np.uint8), r"shape \(0, 7, 3\)"),
        (io.StringIO("text"), "a _io.StringIO"),
    ],
)
def test_other_things_are_refused_by_name(source, found):
    with pytest.raises(VitError, match=f"{found}.*, expected a path, the bytes of a file") as caught:
        open_image(source)
    assert not isinstance(caught.value, DecodeError)
    assert "\n" not in str(caught.value)


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(VitError, match="0 x 7 pixels, expected at least 1 x 1"):
        open_image(Image.new("RGB", (7, 0)))


def test_a_stream_that_cannot_seek_is_read():
    class Stream(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *args):
            raise io.UnsupportedOperation("seek")

    assert np.array_equal(np.asarray(open_image(Stream(saved(Image.fromarray(smooth()), "PNG")))), smooth())
