"""What holds for the project as a whole."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from vit.attribution.roster import METHODS, load_method

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "vit").rglob("*.py"))


def test_attention_is_written_once() -> None:
    """Softmax over scores and the fused kernel stand in one file."""
    words = re.compile(r"scaled_dot_product_attention|flex_attention|MultiheadAttention")
    assert [str(p.relative_to(ROOT)) for p in SOURCES if words.search(p.read_text())] == [
        "vit/core/attention.py"
    ]
    core = [p for p in SOURCES if p.parent.name == "core" and ".softmax(" in p.read_text()]
    assert [p.name for p in core] == ["attention.py", "tower.py"]  # tower.py: of logits


def test_modules_are_of_one_idea() -> None:
    assert [str(p) for p in SOURCES if len(p.read_text().splitlines()) > 300] == []
    packages = Counter(path.parent for path in SOURCES)
    assert {str(package): count for package, count in packages.items() if count > 14} == {}


def test_the_blocks_are_walked_in_one_place() -> None:
    """Positions and masks that a block will need are then passed in one place."""
    walks = re.compile(r"\bfor\b[^\n]*\bin\b[^\n]*\.blocks\b(?!\))")
    found = {str(p.relative_to(ROOT)) for p in SOURCES if walks.search(p.read_text())}
    assert found == {"vit/core/encoder.py"}


def test_nothing_asks_for_the_class_of_a_tower() -> None:
    asks = re.compile(r"isinstance\([^)]*(?:VisionTransformer|TextTransformer)")
    assert [str(p.relative_to(ROOT)) for p in SOURCES if asks.search(p.read_text())] == []


def test_every_method_of_the_roster_has_its_module() -> None:
    files = {path.stem for path in (ROOT / "vit" / "attribution" / "methods").glob("*.py")}
    assert files - {"__init__"} == METHODS.keys()
    assert all(callable(load_method(method)) for method in METHODS)


def test_extras_are_those_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {"text", "serve", "ray", "export", "loggers", "docs", "all", "dev"} <= extras.keys()


def test_a_model_that_predicts_does_without_lightning() -> None:
    """It would take two of the five seconds in which a command begins."""
    modules = "vit.weights.models, vit.recipes.data, vit.commands.rows, vit.inference.predict"
    program = f"import sys, {modules}; print('lightning' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
