"""`vit export`: its options, what it says, and its exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vit import cli
from vit.cli import main
from vit.export import onnx

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")


@pytest.fixture(autouse=True)
def _verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "export", "write a model to a file that runs without vit")


def test_a_file_is_written_and_said_to_be(digits_run: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "digits.onnx"
    words = ["export", str(digits_run), "--format", "onnx", "--output", str(file), "--data", "digits"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith(f"{file} ")
    assert "differs from the model by at most" in said.out
    assert "labels equal on 359 of 359 real inputs" in said.out
    assert said.err == ""
    assert main(words) == 1
    assert capsys.readouterr().err == f"vit: {file} exists: --overwrite replaces it\n"
    assert main([*words, "--overwrite"]) == 0


def test_int8_and_preprocessing_are_measured(digits_run: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "digits.onnx"
    words = ["export", str(digits_run), "--format", "onnx", "--output", str(file), "--data", "digits"]
    assert main([*words, "--preprocess", "--quantize", "int8", "--max-loss", "100"]) == 0
    said = capsys.readouterr().out
    assert "of 255 levels in the mean" in said
    assert "on 359 of digits" in said
    assert "% equal labels" in said


def test_pictures_of_a_folder_are_compared(digits_run: Path, pictures: Path, tmp_path: Path, capsys) -> None:
    for label in ("0", "1"):
        (tmp_path / "mine" / label).mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "c.png", "e.png")):
        (pictures / name).rename(tmp_path / "mine" / str(number % 2) / name)
    file = tmp_path / "digits.pt2"
    words = ["export", str(digits_run), "--format", "pt2", "--output", str(file), "--preprocess"]
    assert main([*words, "--data", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert "on 12 pictures" in said  # 8 that are made, and 4 files
    assert "of 4 real inputs" in said


def test_safetensors_are_left_to_their_module(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    given = {}

    def export(model: object, path: object, **options: object) -> str:
        given.update(options, path=str(path))
        return "written"

    monkeypatch.setattr("vit.export.safetensors.export_safetensors", export)
    words = ["export", str(digits_run), "--format", "safetensors", "--output", str(tmp_path / "out")]
    assert main([*words, "--library", "transformers", "--overwrite"]) == 0
    assert given == {"library": "transformers", "overwrite": True, "path": str(tmp_path / "out")}
    assert capsys.readouterr().out == "written\n"


def test_a_file_is_uploaded_with_what_was_measured(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    uploaded = {}

    def push(folder: str, repository: str, *, card: str, message: str) -> str:
        uploaded.update(names=[file.name for file in Path(folder).iterdir()], card=card, to=repository)
        return "https://hub.example.org/me/digits"

    monkeypatch.setattr("vit.export.hub.push_to_hub", push)
    words = ["export", str(digits_run), "--format", "pt2", "--output", str(tmp_path / "digits.pt2")]
    assert main([*words, "--push-to-hub", "no repository"]) == 2
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()
    assert main([*words, "--push-to-hub", "me/digits"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "https://hub.example.org/me/digits"
    assert (uploaded["names"], uploaded["to"]) == (["digits.pt2"], "me/digits")
    assert "differs from the model by at most" in uploaded["card"]
    assert str(tmp_path) not in uploaded["card"]


WRONG = {
    "--format safetensors --preprocess": "--preprocess is an option of --format onnx and pt2",
    "--format safetensors --data digits": "--data is an option of --format onnx and pt2",
    "--format onnx --library timm": "--library is an option of --format safetensors",
    "--format onnx --max-loss 1": "--max-loss is an option of --quantize",
    "--format onnx --quantize int8 --max-loss -1": "--max-loss is -1",
    "--format onnx --quantize int8": "--quantize needs --data",
    "--format pt2 --quantize int8 --data digits": "use --format onnx",
    "--format torchscript": "format",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage(words: str, digits_run: Path, tmp_path: Path, capsys) -> None:
    command = ["export", str(digits_run), *words.split(), "--output", str(tmp_path / "digits.onnx")]
    assert main(command) == 2
    assert WRONG[words] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_said(digits_run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    command = ["export", str(digits_run), "--format", "onnx", "--output", str(tmp_path / "digits.onnx")]
    assert main(command) == 1
    assert "pip install 'vit[export]'" in capsys.readouterr().err


def test_help_imports_no_torch() -> None:
    program = (
        "import sys; from jsonargparse import ArgumentParser; from vit.commands import export; "
        "parser = ArgumentParser(); export.add_arguments(parser); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
    assert "torch" in sys.modules
    assert torch.__version__
