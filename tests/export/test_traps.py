"""What a trace gets wrong without a word: files of both formats, run by their own runtimes."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vit
from vit.errors import UsageError, VitError
from vit.export import onnx as onnx_files
from vit.export.export import Options, export_model
from vit.export.prepare import Prepared

from ..towers import vision_tower

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")

FORMATS = ("onnx", "pt2")
COUNTS = (1, 3, 11)


def small_model(**arguments: Any) -> Any:
    """15 x 21 pixels in patches of 3 x 7, 5 classes, with a head that is not zero."""
    given = {"width": 12, "heads": 2, "depth": 1, "patch_size": (3, 7)} | arguments
    model = vision_tower(5, (15, 21), **given)
    nn.init.normal_(model.head.weight)
    model.labels = ["a", "b", "c", "d", "e"]
    return model


def outputs(file: Path, *inputs: Tensor) -> Tensor:
    """What a file gives, without a line of vit."""
    if file.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(file).module()(*inputs)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return torch.from_numpy(session.run(None, dict(zip(names, (i.numpy() for i in inputs), strict=True)))[0])


def agrees(file: Path, model: Any, *sizes: tuple[int, int]) -> None:
    model.eval()
    for size in sizes or ((15, 21),):
        for count in COUNTS:
            images = torch.randn(count, 3, *size)
            with torch.no_grad():
                assert torch.allclose(outputs(file, images), model(images, exact=True), atol=1e-4)


@contextmanager
def recording(model: Any) -> Iterator[None]:
    with vit.record_attention(model) as tape:
        yield
    assert len(tape) == 0, "the trace was recorded"


def under_autocast(model: Any) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


def plain(model: Any) -> AbstractContextManager[Any]:
    return nullcontext()


def in_half(model: Any) -> None:
    model.autocast = torch.bfloat16


Around = Callable[[Any], AbstractContextManager[Any]]

# name -> arguments of the tower, what is done to the model, what the export runs under
TRAPS: dict[str, tuple[dict[str, Any], Callable[[Any], Any], Around]] = {
    "a model as it is": ({}, lambda model: model.eval(), plain),
    "train mode with dropout": ({"dropout": 0.5, "drop_path": 0.5}, lambda model: model.train(), plain),
    "bfloat16 in the model": ({}, in_half, plain),
    "bfloat16 around it": ({}, lambda model: model.eval(), under_autocast),
    "a recorder left on": ({}, lambda model: model.eval(), recording),
    "an attention pool": ({"pool": "attention", "class_token": False}, lambda model: model.eval(), plain),
    "inference mode": ({}, lambda model: model.eval(), lambda model: torch.inference_mode()),
    "gradients wanted": ({}, lambda model: model.requires_grad_(True), plain),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", TRAPS)
def test_a_file_computes_what_the_model_computes_in_evaluation(name: str, kind: str, tmp_path: Path) -> None:
    arguments, change, around = TRAPS[name]
    model = small_model(**arguments)
    change(model)
    before = state(model)
    with around(model):
        exported = export_model(model, tmp_path / f"model.{kind}", kind)
    assert state(model) == before
    assert exported.files == list(tmp_path.iterdir()), "one file, and nothing beside it"
    agrees(exported.files[0], model)


def state(model: Any) -> list[Any]:
    """What an export could leave changed."""
    modules = [module.training for module in model.modules()]
    parameters = [(p.dtype, p.requires_grad, p.grad, p.is_inference()) for p in model.parameters()]
    return [modules, parameters, model.autocast, list(model._modules)]


def test_weights_of_half_precision_become_float32(tmp_path: Path) -> None:
    model = small_model().to(torch.bfloat16).eval()
    exported = export_model(model, tmp_path / "model.onnx", "onnx")
    assert next(model.parameters()).dtype == torch.bfloat16
    agrees(exported.files[0], model.float())


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_of_the_machine_that_wrote_it_is_in_a_file(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"model.{kind}"
    export_model(small_model().eval(), file, kind)
    if kind == "pt2":
        with zipfile.ZipFile(file) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
    else:
        content = file.read_bytes()
    packages = Path(torch.__file__).parents[1]
    places = [Path(vit.__file__).parent, packages, Path.cwd(), Path.home(), tmp_path]
    assert [place for place in places if str(place).encode() in content] == []
    assert b"def forward" not in content, "a line of source code"
    assert b"scaled_dot_product_attention(query" not in content, "a line of source code"


def test_a_file_of_onnx_may_be_renamed(tmp_path: Path) -> None:
    model = small_model().eval()
    export_model(model, tmp_path / "model.onnx", "onnx")
    (tmp_path / "elsewhere").mkdir()
    agrees((tmp_path / "model.onnx").rename(tmp_path / "elsewhere" / "other.onnx"), model)


def test_weights_above_2_gb_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "LARGEST_FILE", 1000)
    model = small_model().eval()
    exported = export_model(model, tmp_path / "model.onnx", "onnx")
    assert [file.name for file in exported.files] == ["model.onnx", "model.onnx.data"]
    assert sorted(tmp_path.iterdir()) == exported.files
    agrees(exported.files[0], model)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_takes_pictures_of_one_size_unless_asked(kind: str, tmp_path: Path) -> None:
    model = small_model().eval()
    export_model(model, tmp_path / f"one.{kind}", kind)
    with pytest.raises(Exception, match=r"15|shape|[Gg]uard"):
        outputs(tmp_path / f"one.{kind}", torch.randn(2, 3, 18, 28))
    export_model(model, tmp_path / f"any.{kind}", kind, Options(dynamic_size=True))
    agrees(tmp_path / f"any.{kind}", model, (15, 21), (18, 28), (6, 49))


def of_one_batch(self: Prepared) -> torch.export.ExportedProgram:
    return torch.export.export(self.module, self.make(2, self.sizes[-1]))


def of_other_weights(self: Prepared) -> torch.export.ExportedProgram:
    module = nn.Sequential(nn.Flatten(), nn.Linear(945, 5))
    axes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(module, self.make(2, self.sizes[-1]), dynamic_shapes=axes)


WRONG = {of_one_batch: "does not run with 1 input", of_other_weights: "differs from the model by .*expected"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("trace", WRONG, ids=lambda trace: trace.__name__)
def test_a_file_that_fails_its_tests_is_not_left(
    trace: Callable[..., Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prepared, "trace", trace)
    monkeypatch.setattr(onnx_files, "_names", lambda prepared: None)
    file = tmp_path / f"model.{kind}"
    file.write_text("an earlier one")
    with pytest.raises(VitError, match=WRONG[trace]):
        export_model(small_model().eval(), file, kind, Options(overwrite=True))
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "an earlier one"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "model.pt2.tmp").mkdir()
    (tmp_path / "model.pt2.tmp" / "half").write_text("")
    export_model(small_model().eval(), tmp_path / "model.pt2", "pt2")
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt2"]


def test_places_that_a_file_cannot_go_to(tmp_path: Path) -> None:
    model = small_model().eval()
    (tmp_path / "there.pt2").write_text("")
    (tmp_path / "folder.pt2").mkdir()
    refused = {
        "there.pt2": "exists: --overwrite replaces it",
        "folder.pt2": "is a folder",
        "missing/model.pt2": "folder .*missing does not exist",
        "model.bin": "expected a name that ends in .pt2",
    }
    for name, message in refused.items():
        with pytest.raises(VitError, match=message):
            export_model(model, tmp_path / name, "pt2")


def test_options_that_do_not_fit_each_other(tmp_path: Path) -> None:
    model = small_model().eval()
    refused = {
        "leave --dynamic-size out": ("onnx", Options(dynamic_size=True, preprocess=True)),
        "use --format onnx": ("pt2", Options(quantize="int8")),
        "expected int8": ("onnx", Options(quantize="int4")),
        "needs --data": ("onnx", Options(quantize="int8")),
        "expected one of: onnx, pt2": ("torchscript", Options()),
    }
    for message, (kind, options) in refused.items():
        with pytest.raises(UsageError, match=message):
            export_model(model, tmp_path / f"model.{kind}", kind, options)
    assert list(tmp_path.iterdir()) == []
