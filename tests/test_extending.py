"""The examples of docs/extending.md work as they are written."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import vit
from vit.attribution.heads import FUSIONS, fuse_heads
from vit.attribution.roster import METHODS, Method, method_table
from vit.core.norms import NORMS
from vit.errors import VitError
from vit.inference.drawing.draw import Request
from vit.inference.drawing.images import ImageDrawer
from vit.inference.drawing.texts import TextDrawer, explain_text
from vit.inputs.texts import TextReader
from vit.viewer import page

from .towers import vision_tower

EXAMPLES = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8").replace("\n    ", "\n"),
    re.DOTALL,
)


def line(start: str) -> str:
    """The one-line example that starts so, without the comma at its end."""
    return next(text for text in EXAMPLES if text.startswith(start)).strip().removesuffix(",")


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("vit.attribution.methods.final_norm")
    exec(EXAMPLES[0], module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = eval(line('"NAME"').partition(": ")[2], {"Method": Method})
    monkeypatch.setitem(METHODS, "final_norm", entry)
    return "final_norm"


def test_a_method_serves_images(method: str, digits_run: Path, pictures: Path) -> None:
    assert f"  {method} " in method_table()
    model = vit.load_model(digits_run)
    images = torch.randn(2, 1, 8, 8)
    maps = vit.attend(model, images, method)
    with torch.no_grad():
        expected = model.encode(images).norm(dim=-1)[:, model.prefix :]
    torch.testing.assert_close(maps.flatten(1), expected)
    with pytest.raises(VitError, match="explains no class"):
        vit.attend(model, images, method, target=1)
    drawer = ImageDrawer(model, Request(method))
    with drawer.reader() as reader:
        batch = next(iter(reader.batches(drawer.list_inputs([str(pictures)], []))))
        first = next(drawer.drawings(batch, 0))
    assert "class_mass" not in first.row, "its scores are no shares of attention"
    assert first.view is not None
    assert first.view().start.shown == method
    assert first.overlay is not None
    assert first.overlay().width > 0


def test_a_method_serves_texts(method: str, texts_run: Path) -> None:
    model = vit.load_model(texts_run)
    text = "unbelievably fine , film"
    found = explain_text(model, text, Request(method))
    tokens = vit.attend(model, [text], method)[0]
    torch.testing.assert_close(found.heat.sum(), tokens.sum())
    assert not torch.equal(found.heat, explain_text(model, text, Request("raw")).heat)
    drawer = TextDrawer(model, Request(method), text=text)
    reader = TextReader(model.preprocess, 1)
    drawing = next(drawer.drawings(next(iter(reader.batches(drawer.list_inputs([], [])))), 0))
    assert drawing.view is not None
    assert method in page(drawing.view())


def test_a_head_fusion(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, function = line('"median"').partition(": ")
    monkeypatch.setitem(FUSIONS, eval(name), eval(function))
    weights = torch.rand(2, 4, 5, 5)
    middle = weights.sort(1).values[:, 1:3].mean(1)
    torch.testing.assert_close(fuse_heads(weights, "median"), middle)
    with pytest.raises(VitError, match=r"expected one of: .*median"):
        fuse_heads(weights, "nonsense")


def test_a_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, function = line('"rms"').partition(": ")
    monkeypatch.setitem(NORMS, eval(name), eval(function, {"nn": nn}))
    model = vision_tower(3, (8, 8), width=12, heads=2, depth=2, norm_kind="rms", qk_norm=True)
    assert not any(isinstance(module, nn.LayerNorm) for module in model.modules())
    assert sum(isinstance(module, nn.RMSNorm) for module in model.modules()) == 2 * 4 + 1
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 3)
