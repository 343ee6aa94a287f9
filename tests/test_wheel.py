"""A source distribution and the wheel that is built from it, installed and used outside the checkout.

The heavy dependencies are not installed again: the fresh environment sees those of this one.
"""

import csv
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("hatchling") is None, reason="needs hatchling, which builds the package"),
]


class Built(NamedTuple):
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source distribution, and the wheel that is built from what it holds."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, "sdist", folder)
    sdist = folder / f"vit-{PROJECT['version']}.tar.gz"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    build(folder / "unpacked" / f"vit-{PROJECT['version']}", "wheel", folder)
    return Built(sdist, folder / f"vit-{PROJECT['version']}-py3-none-any.whl")


def build(source: Path, target: str, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def programs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a fresh environment with the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    seen = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    # The .pth files in a folder that a .pth names are not read, so an editable vit is not seen.
    Path(paths["purelib"], "dependencies.pth").write_text("\n".join(seen) + "\n", encoding="utf-8")
    programs = Path(paths["scripts"])
    command = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(built.wheel)], check=True)
    return programs


def run(programs: Path, folder: Path, *words: str) -> str:
    """Standard output of a program of the fresh environment, which must end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(programs / words[0]), *words[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_of_the_package_travels_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    information = f"vit-{PROJECT['version']}.dist-info/"
    packaged = {name for name in names if not name.startswith(information)}
    own = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "vit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    configs = {f"vit/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert packaged == own | configs
    pages = {name for name in packaged if name.endswith((".html", ".js", ".css"))}
    assert any(name.startswith("vit/viewer/") for name in pages)
    assert {"vit/py.typed", "vit/pretrained/cifar10/model.safetensors"} <= packaged
    assert f"{information}licenses/LICENSE" in names


def test_the_source_has_what_its_tests_need_and_no_rubbish(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        parts = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
    assert {"vit", "tests", "configs", "docs", "pyproject.toml", "README.md", "LICENSE"} <= parts
    assert not {part for part in parts if part.startswith(".venv") or part in ("runs", "dist", ".git")}


def test_the_commands_of_an_installed_wheel(programs: Path, tmp_path: Path) -> None:
    where = run(programs, tmp_path, "python", "-c", "import vit; print(vit.__file__)")
    assert Path(where.strip()).is_relative_to(programs.parent)
    assert run(programs, tmp_path, "vit", "--version") == f"vit {PROJECT['version']}\n"
    assert run(programs, tmp_path, "python", "-m", "vit", "--version") == f"vit {PROJECT['version']}\n"
    assert "cifar10_plain" in run(programs, tmp_path, "vit", "models")
    assert "digits" in run(programs, tmp_path, "vit", "--print-completion", "bash")
    run(programs, tmp_path, "vit", "train", "--config", "digits", "--trainer.max_epochs", "1")
    assert (tmp_path / "runs" / "digits" / "model" / "model.safetensors").is_file()
    Image.new("RGB", (40, 32), (30, 90, 200)).save(tmp_path / "picture.png")
    run(programs, tmp_path, "vit", "predict", "cifar10", "picture.png", "--output", "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["status"], bool(row["label"])) == ("ok", True)
    run(programs, tmp_path, "vit", "attend", "cifar10", "picture.png", "--output", "maps")
    assert (tmp_path / "maps" / "picture.png.html").is_file()
