"""Weights of 8 bits: what they cost is measured, and refused above what is permitted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.export import export as exporting
from vit.export import onnx
from vit.export.export import Options, export_model
from vit.export.quantize import Quantized, is_right, require_small_loss
from vit.export.verify import Real

from ..towers import text_tower, vision_tower

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")


def model_and_data() -> tuple[Any, Real]:
    """A model of 5 classes, and 96 inputs whose truth is what the model says of all but 6."""
    model = vision_tower(5, (16, 16), width=64, heads=4, depth=3).eval()
    nn.init.normal_(model.head.weight)
    model.labels, model.preprocess = ["a", "b", "c", "d", "e"], Preprocess(16, 16)
    images = torch.randn(96, 3, 16, 16)
    with torch.no_grad():
        truth = model(images).argmax(-1)
    truth[::16] = (truth[::16] + 1) % 5

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(images.split(40), truth.split(40), strict=True)

    return model, Real("mine", batches)


@pytest.mark.parametrize("preprocess", [False, True])
def test_a_file_of_8_bits_is_measured_beside_that_of_32(preprocess: bool, tmp_path: Path) -> None:
    model, real = model_and_data()
    file = tmp_path / "model.onnx"
    options = Options(quantize="int8", max_loss=10, preprocess=preprocess)
    measured = export_model(model, file, "onnx", options, real=real).quantized
    assert measured is not None
    assert (measured.before, measured.n, measured.data) == (90 / 96, 96, "mine")
    assert measured.equal > 0.9
    assert measured.size < 0.5
    assert list(tmp_path.iterdir()) == [file]
    said = onnx.read_metadata(file)
    assert json.loads(said["int8"]) == measured._asdict()
    assert json.loads(said["labels"]) == model.labels
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    if preprocess:
        given = torch.randint(256, (3, 20, 30, 3), dtype=torch.uint8)
        assert session.run(None, {"pictures": given.numpy()})[0].shape == (3, 5)
        return
    right = 0
    for images, truth in real.batches():
        logits = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        right += int((logits.argmax(-1) == truth).sum())
    assert measured.after == right / 96


def test_weights_are_unsigned_and_scaled_per_channel(tmp_path: Path) -> None:
    import onnx as library

    model, real = model_and_data()
    export_model(model, tmp_path / "m.onnx", "onnx", Options(quantize="int8", max_loss=10), real=real)
    graph = library.load(tmp_path / "m.onnx").graph
    weights = [each for each in graph.initializer if each.name.endswith("_quantized")]
    assert len(weights) >= 3 * 6  # query, key and value may be one matrix
    assert {each.data_type for each in weights} == {library.TensorProto.UINT8}
    scales = [each for each in graph.initializer if each.name.endswith("_scale") and each.dims]
    assert max(each.dims[0] for each in scales) >= 64


def test_a_file_that_lost_more_than_permitted_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, real = model_and_data()
    worse = Quantized(0.884, 0.865, 0.97, 0.0, 96, "mine")
    monkeypatch.setattr(exporting.quantize, "compare", lambda *_: worse)
    with pytest.raises(VitError, match=r"loses 1.90 points .* 96 of mine \(88.40 -> 86.50\).*--max-loss 1.9"):
        export_model(model, tmp_path / "model.onnx", "onnx", Options(quantize="int8"), real=real)
    assert list(tmp_path.iterdir()) == []
    told = Options(quantize="int8", max_loss=1.9)
    export_model(model, tmp_path / "model.onnx", "onnx", told, real=real)
    assert (tmp_path / "model.onnx").is_file()


def test_the_loss_is_compared_in_points() -> None:
    require_small_loss(Quantized(0.88, 0.875, 1, 0.3, 200, "d"), 0.5)
    require_small_loss(Quantized(0.88, 0.89, 1, 0.3, 200, "d"), 0.0)
    with pytest.raises(VitError, match=r"loses 0\.51 points"):
        require_small_loss(Quantized(0.88, 0.8749, 1, 0.3, 10_000, "d"), 0.5)


def test_an_input_is_right_when_all_known_labels_are() -> None:
    labels = torch.tensor([[True, False], [False, True], [True, True]])
    assert is_right(labels[:2], torch.tensor([0, 0])).tolist() == [True, False]
    truth = torch.tensor([[1, 0], [1, 1], [1, torch.nan]])
    assert is_right(labels, truth).tolist() == [True, False, True]


def test_texts_are_quantized_too(tmp_path: Path) -> None:
    model = text_tower(2, 50, width=48, heads=4, depth=2, length=12).eval()
    nn.init.normal_(model.head.weight)
    model.labels = ["no", "yes"]
    ids = torch.randint(1, 50, (30, 9))
    ids[::2, 6:] = 0
    with torch.no_grad():
        real = Real("mine", lambda: iter([(ids, model(ids).argmax(-1))]))
    options = Options(quantize="int8", max_loss=20)
    measured = export_model(model, tmp_path / "m.onnx", "onnx", options, real=real).quantized
    assert measured is not None
    assert (measured.before, measured.n) == (1.0, 30)
