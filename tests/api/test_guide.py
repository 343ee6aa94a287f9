"""The Python of docs/python.md runs, and its tables are true."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import vit

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"^\| (.+?) \| `([^`]*picture[^`]*)` \|$", PAGE, re.MULTILINE)


@pytest.fixture
def place(
    digits_run: Path, texts_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with what the page names."""
    shutil.copytree(digits_run, tmp_path / "runs" / "digits")
    shutil.copytree(texts_run, tmp_path / "runs" / "reviews")
    pictures.rename(tmp_path / "photos")
    (tmp_path / "reviews.tsv").write_text("label\ttext\npos\ta fine film\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_the_code_runs(block: str, place: Path) -> None:
    exec(compile(block, "docs/python.md", "exec"), {})


def test_the_functions_are_those_of_the_first_table() -> None:
    assert set(re.findall(r"^\| `vit\.(\w+)\(", PAGE, re.MULTILINE)) <= set(vit.__all__)


def test_the_lines_are_those_of_the_messages(digits_run: Path) -> None:
    import torch

    rgb = np.random.default_rng(3).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    first = torch.from_numpy(rgb).permute(2, 0, 1)
    pictures = {
        "float, 0 to 1": rgb / 255,
        "float, 0 to 255": rgb.astype(float),
        "16 bits": rgb.astype(np.uint16) * 257,
        "channels first, (3, height, width)": rgb.transpose(2, 0, 1),
        "with alpha, (height, width, 4)": np.dstack([rgb, rgb[:, :, :1]]),
        "tensor, float, 0 to 1": first / 255,
        "tensor, channels last": torch.from_numpy(rgb),
        "a batch, (B, ...), in a list": rgb[None],
    }
    model = vit.load_model(digits_run)
    lines = dict(LINES)
    assert lines.pop("of OpenCV, BGR") == "picture[:, :, ::-1]"
    assert lines.keys() == pictures.keys()
    for name, line in lines.items():
        with pytest.raises(vit.VitError, match=re.escape(f": pass {line}")):
            list(vit.predict(model, [pictures[name]]))
