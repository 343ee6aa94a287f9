"""A file says what its numbers mean."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from vit.data.preprocess import Preprocess
from vit.export import onnx, pt2
from vit.export.export import export_model

from ..towers import vision_tower

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")
READERS: dict[str, Any] = {"onnx": onnx.read_metadata, "pt2": pt2.read_metadata}


@pytest.mark.parametrize("kind", READERS)
def test_labels_preprocessing_and_version_are_in_the_file(kind: str, tmp_path: Path) -> None:
    model = vision_tower(2, (8, 8), width=12, heads=2, depth=1).eval()
    model.labels, model.thresholds, model.source = ["été", "猫"], [0.25, 0.75], {"license": "cc0-1.0"}
    model.source["word"] = str(tmp_path / "secret")
    model.preprocess = Preprocess(8, 8, mean=(0.1, 0.2, 0.3))
    export_model(model, tmp_path / f"model.{kind}", kind)
    said = READERS[kind](tmp_path / f"model.{kind}")
    assert said["vit"] == version("vit")
    assert json.loads(said["labels"]) == ["été", "猫"]
    assert json.loads(said["thresholds"]) == [0.25, 0.75]
    assert json.loads(said["preprocess"]) == model.preprocess.to_dict()
    assert said["output"] == "logits"
    assert said["license"] == "cc0-1.0"
    assert "8 x 8 pixels" in said["input"]
    assert "secret" not in str(said)


def test_onnx_names_inputs_axes_and_output(tmp_path: Path) -> None:
    import onnx as library

    model = vision_tower(2, (8, 8), width=12, heads=2, depth=1).eval()
    export_model(model, tmp_path / "model.onnx", "onnx")
    written = library.load(tmp_path / "model.onnx")
    library.checker.check_model(written)
    given, result = written.graph.input[0], written.graph.output[0]
    assert (given.name, result.name) == ("images", "logits")
    assert [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim] == [
        "batch",
        3,
        8,
        8,
    ]
    assert [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim] == ["batch", 2]
    assert written.producer_name == "vit"


def test_features_are_called_so(tmp_path: Path) -> None:
    model = vision_tower(0, (8, 8), width=12, heads=2, depth=1).eval()
    export_model(model, tmp_path / "model.pt2", "pt2")
    assert pt2.read_metadata(tmp_path / "model.pt2")["output"] == "features"
