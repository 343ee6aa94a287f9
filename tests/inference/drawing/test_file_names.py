"""The gallery that `vit attend` writes."""

from pathlib import Path

import pytest

from vit.inference.drawing.file_names import drawing_path

RESERVED = ("sheet.png", "index.html")


@pytest.mark.parametrize(
    ("name", "suffix", "start"),
    [("index", ".html", "_index.html"), ("sheet", ".png", "_sheet.png"), ("_index", ".html", "_index~")],
)
def test_no_drawing_replaces_the_gallery_or_the_sheet(name: str, suffix: str, start: str) -> None:
    path = drawing_path(name, suffix, reserved=RESERVED)
    assert str(path).startswith(start)
    assert drawing_path(f"a/{name}", suffix, reserved=RESERVED) == Path(f"a/{name}{suffix}")
