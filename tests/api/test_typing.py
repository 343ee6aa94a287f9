"""The types that a user's checker sees."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import vit

USER = """
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import vit


def names() -> Iterator[Path]:
    yield Path("photos")


def label(word: str) -> list[str]:
    try:
        return [str(row["label"]) for row in vit.predict(word, names(), topk=1, unknown="auto")]
    except vit.VitError as error:
        return [str(error)]


model = vit.load_model("runs/digits")
ours = vit.from_timm(model)
theirs = vit.from_huggingface(model)
rows = vit.embed(model, ["photos/"])
vector: list[float] = next(rows)["vector"]
rows.close()
run = vit.train("digits", {"trainer.max_epochs": 3}, name="try")
folder: Path = run.folder
metrics: dict[str, Any] = run.metrics
figures: dict[str, Any] = vit.evaluate(run.model, "my_test", probe="knn")
maps: torch.Tensor = vit.attend(model, torch.zeros(1, 3, 32, 32), method="rollout")
with vit.record_attention(model) as tape:
    model(torch.zeros(1, 3, 32, 32))
weights: list[torch.Tensor] = tape.weights()
count: int = vit.table(vit.predict(model, ["photos/"])).num_rows
"""


def test_the_script_names_everything_that_is_public() -> None:
    assert [name for name in vit.__all__ if f"vit.{name}" not in USER] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_users_script_passes_mypy_strict(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install '.[dev]'")
    (tmp_path / "user.py").write_text(USER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "Success: no issues found in 1 source file\n"), done.stdout
    (tmp_path / "user.py").write_text(USER + 'vit.predict(model, ["photos/"], topk="five")\n')
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 'expected "int"' in done.stdout
