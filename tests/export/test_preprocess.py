"""Preprocessing inside a file: the pixels are those of Pillow, but for rounding."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vit.data.preprocess import Preprocess
from vit.errors import UsageError, VitError
from vit.export import onnx, pt2
from vit.export.export import Options, export_model
from vit.export.preprocess import MOST_LEVELS, Preprocessing, compare, rounded

from ..towers import vision_tower

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")

# height, width: smaller and larger, upright and across, and such that halves are rounded
SIZES = [(13, 19), (7, 5), (31, 57), (58, 29), (26, 38), (40, 41), (120, 17), (14, 20), (27, 39)]

KINDS: dict[str, dict[str, Any]] = {
    "crop": {"crop": 0.9},
    "whole crop": {},
    "squash": {"resize": "squash", "crop": 0.8},
    "pad": {"resize": "pad", "fill": (10, 20, 30)},
    "pad and crop": {"resize": "pad", "crop": 0.7},
    "bilinear": {"interpolation": "bilinear", "crop": 0.9},
    "as timm": {"follows": "timm", "crop": 0.875},
    "as transformers": {"follows": "transformers", "crop": 0.875},
    "grey": {"channels": 1, "mean": (0.4,), "std": (0.3,)},
}


def smooth(height: int, width: int) -> np.ndarray:
    """Three waves, all in range: resizing does not overshoot."""
    down, across = np.mgrid[0:height, 0:width] / np.array([[[height]], [[width]]])
    waves = [np.sin(5 * down + 2 * across), np.cos(4 * across), np.sin(3 * (down - across))]
    return (127 + 90 * np.stack(waves, -1)).astype(np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", KINDS)
def test_pixels_are_those_of_pillow_to_a_level(name: str) -> None:
    preprocess = Preprocess(13, 19, **KINDS[name])
    pixels = Preprocessing(preprocess)
    for size in SIZES:
        found = pixels(torch.from_numpy(smooth(*size))[None])[0]
        difference = (found - preprocess.pixels(smooth(*size)).float()).abs()
        assert difference.max() <= 1, f"{size}: {difference.max()} levels"


def test_noise_is_near_too() -> None:
    preprocess = Preprocess(13, 19, crop=0.9)
    levels = compare(Preprocessing(preprocess), preprocess, [noise(*size) for size in SIZES])
    assert levels.mean < 0.2
    assert levels.pictures == len(SIZES)


def test_a_quotient_is_rounded_as_python_rounds() -> None:
    for numerator, denominator in product(range(60), range(1, 13)):
        assert rounded(numerator, denominator) == round(numerator / denominator)


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize(
    "name", ["crop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pad", "grey"))]
)
def test_a_file_takes_pictures_of_any_size(name: str, kind: str, tmp_path: Path) -> None:
    preprocess = Preprocess(12, 16, **KINDS[name])
    model = vision_tower(3, (12, 16), channels=preprocess.channels, width=12, heads=2, depth=1).eval()
    torch.nn.init.normal_(model.head.weight)
    model.preprocess, model.labels = preprocess, ["a", "b", "c"]
    file = tmp_path / f"model.{kind}"
    exported = export_model(
        model, file, kind, Options(preprocess=True), pictures=lambda: iter([smooth(31, 57), smooth(12, 16)])
    )
    assert exported.levels is not None
    assert (exported.agreement.real, exported.agreement.equal) == (2, 2)
    said = json.loads({"onnx": onnx, "pt2": pt2}[kind].read_metadata(file)["preprocessing"])
    assert said == exported.levels._asdict()
    run = torch_run if kind == "pt2" else onnx_run
    for size in ((12, 16), (31, 57), (58, 29), (5, 4)):
        scores = run(file, np.stack([smooth(*size)] * 3))
        with torch.no_grad():
            expected = model(preprocess(smooth(*size))[None]).softmax(-1)
        assert scores.shape == (3, 3)
        assert np.allclose(scores.sum(1), 1, atol=1e-5)
        assert np.allclose(scores, expected.numpy(), atol=0.02)


def torch_run(file: Path, pictures: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return torch.export.load(file).module()(torch.from_numpy(pictures)).numpy()


def onnx_run(file: Path, pictures: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"pictures": pictures})[0]


def with_preprocess(**arguments: Any) -> Any:
    model = vision_tower(3, (12, 16), width=12, heads=2, depth=1).eval()
    model.preprocess, model.labels = Preprocess(12, 16, **arguments), ["a", "b", "c"]
    return model


def test_resize_is_written_with_pillows_filter(tmp_path: Path) -> None:
    import onnx as library

    export_model(with_preprocess(), tmp_path / "model.onnx", "onnx", Options(preprocess=True))
    graph = library.load(tmp_path / "model.onnx").graph
    resizes = [node for node in graph.node if node.op_type == "Resize"]
    assert resizes
    for node in resizes:
        said = {each.name: library.helper.get_attribute_value(each) for each in node.attribute}
        assert (said["antialias"], said["cubic_coeff_a"], said["exclude_outside"]) == (1, -0.5, 1)


def test_pixels_that_are_not_pillows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(self: Preprocessing, pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.nn.functional.interpolate(pixels, size, mode="bicubic").round().clamp(0, 255)

    monkeypatch.setattr(Preprocessing, "_interpolated", sampled)
    with pytest.raises(VitError, match=f"levels in the mean, expected at most {MOST_LEVELS}"):
        export_model(with_preprocess(), tmp_path / "model.pt2", "pt2", Options(preprocess=True))
    assert list(tmp_path.iterdir()) == []


def test_what_a_graph_cannot_have_is_refused_by_name(tmp_path: Path) -> None:
    options = Options(preprocess=True)
    with pytest.raises(VitError, match="lanczos, and a graph has bilinear and bicubic"):
        export_model(with_preprocess(interpolation="lanczos"), tmp_path / "model.pt2", "pt2", options)
    model = with_preprocess()
    model.preprocess = None
    with pytest.raises(VitError, match="does not say how its pictures are prepared"):
        export_model(model, tmp_path / "model.pt2", "pt2", options)


def test_texts_have_no_preprocessing(tmp_path: Path) -> None:
    from ..towers import text_tower

    model = text_tower(2, 11, width=12, heads=2, depth=1, length=9).eval()
    with pytest.raises(UsageError, match=r"tokenizer\.json beside it"):
        export_model(model, tmp_path / "model.pt2", "pt2", Options(preprocess=True))
