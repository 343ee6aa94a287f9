"""Malicious files: each would create a canary file if any of its code ran."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vit.cli import main
from vit.training.checkpoints import DurableIO

MODULE = "canary_of_the_tests"  # importing it is forbidden too


def module_with_canary(canary: Path) -> Path:
    """A folder with a module whose import touches the canary."""
    folder = canary.parent / "path"
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(f"open({str(canary)!r}, 'w').close()\nsing = print\n")
    return folder


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that must not be there at the end."""
    file = tmp_path / "canary"
    monkeypatch.syspath_prepend(module_with_canary(file))
    monkeypatch.chdir(tmp_path)
    yield file
    assert not file.exists(), "it ran"
    assert MODULE not in sys.modules, "it was imported"


class Calls:
    """Unpickled, it is a call."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def by_name(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls a function by its name; written by hand, so that this file need not import it."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + pickle.dumps((argument,), 2)[2:-1] + b"R."


def attacks(canary: Path) -> dict[str, bytes]:
    """Pickles that touch the canary when they are read."""
    touch, shell = f"open({str(canary)!r}, 'w').close()", f"touch {canary}"
    hidden = Calls(getattr, Calls(__import__, "os"), "system")
    return {
        "os.system": pickle.dumps(Calls(os.system, shell)),
        "eval": pickle.dumps(Calls(eval, touch)),
        "exec": pickle.dumps(Calls(exec, touch)),
        "open": pickle.dumps(Calls(open, str(canary), "w")),
        "inside": pickle.dumps({"state_dict": {"weight": Calls(os.system, shell)}}),
        "getattr": pickle.dumps([hidden, Calls(exec, touch)]),
        "protocol 0": pickle.dumps(Calls(exec, touch), 0),
        "protocol 4": pickle.dumps(Calls(os.system, shell), 4),
        "posix": by_name("posix", "system", shell),
        "subprocess": by_name("subprocess", "getoutput", shell),
        "runpy": by_name("runpy", "run_path", str(canary.parent / "path" / f"{MODULE}.py")),
        "pydoc": by_name("pydoc", "locate", MODULE),
        "import": by_name("importlib", "import_module", MODULE),
        "module": by_name(MODULE, "sing", ""),
    }


def as_torch_file(content: bytes) -> bytes:
    """The same pickle in a zip archive as torch.save writes it."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(1)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith("data.pkl") else source.read(name))
    return packed.getvalue()


KINDS = sorted(attacks(Path("canary")))
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"bare": bytes, "zip": as_torch_file}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("vit: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_the_attacks_work(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pickle.load they create the canary; else the other tests would prove nothing."""
    file = tmp_path / "canary"
    monkeypatch.setenv("PYTHONPATH", str(module_with_canary(file)))
    (tmp_path / "attack").write_bytes(attacks(file)[kind])
    program = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "attack")], check=False, capture_output=True
    )
    assert file.exists()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_instead_of_weights(
    kind: str, packing: str, canary: Path, digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = PACKINGS[packing](attacks(canary)[kind])
    shutil.copytree(digits_run / "model", "bundle")
    Path("bundle/model.safetensors").write_bytes(content)
    assert main(["info", "bundle"]) == 1
    one_line(capsys)
    Path("hub").mkdir()
    Path("hub/config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    for name in ("pytorch_model.bin", "model.safetensors"):
        Path("hub", name).write_bytes(content)
        assert main(["info", "hf:hub"]) == 1
        one_line(capsys)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_instead_of_a_checkpoint(
    kind: str, packing: str, canary: Path, digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_run, "runs/small")
    folder = Path("runs/small/checkpoints")
    content = PACKINGS[packing](attacks(canary)[kind])
    (folder / "last.ckpt").write_bytes(content)
    (folder / "best.ckpt").write_bytes(content)
    assert main(["info", "runs/small"]) == 0, "a model is its bundle; checkpoints are not read"
    capsys.readouterr()
    # An attacker who can write the file can write the list of checksums too.
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  last.ckpt\n")
    assert main(["train", "--name", "small", "--resume", "--trainer.max_epochs", "3"]) == 1
    assert "last.ckpt" in one_line(capsys)


def test_class_names_in_a_checkpoint_are_not_imported(canary: Path, digits_run: Path) -> None:
    shutil.copytree(digits_run, "runs/small")
    last = Path("runs/small/checkpoints/last.ckpt")
    checkpoint = torch.load(last, weights_only=True)
    for key in ("hyper_parameters", "datamodule_hyper_parameters", "hparams_type", "datamodule_hparams_type"):
        checkpoint[key] = {"class_path": f"{MODULE}.sing", "_target_": f"{MODULE}.sing"}
    checkpoint["hparams_name"] = f"{MODULE}.sing"
    checkpoint["callbacks"][f"{MODULE}.sing"] = {"a": 1}
    DurableIO().save_checkpoint(checkpoint, last)
    assert main(["train", "--name", "small", "--resume", "--trainer.max_epochs", "3"]) == 0


def test_an_image_that_is_a_pickle(canary: Path, digits_run: Path) -> None:
    Path("pictures").mkdir()
    for kind, content in attacks(canary).items():
        Path("pictures", f"{kind}.png").write_bytes(content)
        Path("pictures", f"{kind}.pt").write_bytes(as_torch_file(content))
    Image.new("L", (8, 8)).save("pictures/good.png")
    assert main(["predict", str(digits_run), "pictures", "--output", "labels.csv"]) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_pickles_instead_of_cifar(kind: str, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("data/cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name in ("batches.meta", "test_batch", *(f"data_batch_{n}" for n in range(1, 6))):
        (folder / name).write_bytes(attacks(canary)[kind])
    assert main(["train", "--config", "cifar10", "--data.root", "data", "--name", "run"]) == 1
    capsys.readouterr()


YAMLS = {
    "class_path": "optim:\n  class_path: os.system\n  init_args: {command: touch canary}\n",
    "class_path of all": "class_path: os.system\n",
    "class_path in a value": "data:\n  root: {class_path: os.system, init_args: {command: touch canary}}\n",
    "_target_": "model:\n  _target_: os.system\n",
    "apply": "seed: !!python/object/apply:os.system ['touch canary']\n",
    "new": "data: !!python/object/new:os.system ['touch canary']\n",
    "name": f"data:\n  name: !!python/name:{MODULE}.sing\n",
    "module": f"data:\n  name: !!python/module:{MODULE}\n",
    "interpolation": "data:\n  root: ${oc.env:HOME}\n",
    "interpolation within": "data:\n  root: a/${data.name}/b\n",
    "import": f"trainer:\n  strategy: {MODULE}.sing\n",
}


@pytest.mark.parametrize("kind", YAMLS)
def test_a_config_cannot_name_classes(kind: str, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evil.yaml").write_text(YAMLS[kind])
    before = set(sys.modules)
    assert main(["train", "--config", "evil.yaml", "--name", "run"]) in (1, 2)
    one_line(capsys)
    if kind != "import":  # Lightning refuses that one, after it has been imported
        assert "torch" in before or "torch" not in sys.modules
    assert not Path("runs/run").exists()


def test_a_bundle_cannot_name_classes(
    canary: Path, digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_run / "model", "bundle")
    file = Path("bundle/config.json")
    plain = json.loads(file.read_text())
    for part, value in (
        ("architecture", plain["architecture"] | {"tower": f"{MODULE}.sing"}),
        ("architecture", plain["architecture"] | {"class_path": "os.system"}),
        ("architecture", plain["architecture"] | {"pool": f"{MODULE}.sing"}),
        ("preprocess", {"class_path": "os.system"}),
    ):
        file.write_text(json.dumps(plain | {part: value}))
        assert main(["info", "bundle"]) == 1
        one_line(capsys)
