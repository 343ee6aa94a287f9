"""Commands on a GPU: `train`, resumed exactly; `evaluate`, `predict`, `embed` and `attend` as on the CPU."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from vit.cli import main

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact_products")]

TINY = "--config digits --model.width 24 --model.depth 2 --trainer.overlays 2 --optim.ema 0.9"
CLOSE = 1e-4  # scores and vectors in float32


def run(words: str) -> None:
    assert main(words.split()) == 0, words


def rows_of(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_and_maps_are_those_of_the_cpu(
    cuda: torch.device, digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = {
        "predict": f"predict {digits_run} {pictures} --output PLACE/rows.csv --precision 32-true",
        "embed": f"embed {digits_run} {pictures} --output PLACE/vectors.csv",
        "rollout": f"attend {digits_run} {pictures} --output PLACE/rollout --pages 2 --score",
        "relevance": f"attend {digits_run} {pictures} --output PLACE/relevance --method relevance --target 3",
    }
    for place in ("there", "here"):
        (tmp_path / place).mkdir()
        if place == "here":
            monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **options: None)
        for command in commands.values():
            run(command.replace("PLACE", str(tmp_path / place)))
    for file in ("rows.csv", "vectors.csv", "rollout/attend.csv", "relevance/attend.csv"):
        there, here = (rows_of(tmp_path / place / file) for place in ("there", "here"))
        assert len(there) == len(here) > 0
        for one, other in zip(there, here, strict=True):
            for name in one.keys() - {"topk"}:
                if name in ("score", "class_mass", "vector"):
                    assert numbers(one[name]) == pytest.approx(numbers(other[name]), abs=CLOSE)
                else:
                    assert one[name] == other[name]
    assert len(list((tmp_path / "there" / "rollout").rglob("*.html"))) == 2


def numbers(text: str) -> Any:
    return json.loads(text) if text else None


@pytest.mark.parametrize("precision", ["32-true", "auto", "16-mixed"])
@pytest.mark.parametrize("compiled", ["false", "true"])
def test_train_and_evaluate(
    precision: str,
    compiled: str,
    cuda: torch.device,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run(f"train {TINY} --trainer.max_epochs 8 --trainer.precision {precision} --trainer.compile {compiled}")
    capsys.readouterr()
    run("evaluate runs/digits --json")
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"] > 0.3  # a guess is right in a tenth
    assert figures["n"] == 359
    files = [file for file in Path("runs").rglob("*") if file.is_file()]
    assert not [file for file in files if b"_orig_mod" in file.read_bytes()]


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_run_that_is_killed_goes_on_exactly(precision: str, cuda: torch.device, tmp_path: Path) -> None:
    """With deterministic kernels, the weights are those of a run that was never killed, bit for bit."""
    environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    code = (
        "import sys, torch; torch.use_deterministic_algorithms(True, warn_only=True); "
        "from vit.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = f"train {TINY} --trainer.max_epochs 40 --trainer.precision {precision} --trainer.save_every 0.2"

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", "-c", code, *words.split(), "--name", name, *more]
        return subprocess.Popen(command, cwd=tmp_path, env=environment)

    assert start("whole").wait(200) == 0
    killed = start("killed")
    metrics = tmp_path / "runs" / "killed" / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 5):
        assert killed.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert start("killed", "--resume").wait(200) == 0
    whole, resumed = (
        torch.load(tmp_path / "runs" / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "killed")
    )
    assert whole.keys() == resumed.keys()
    different = [name for name in whole if not torch.equal(whole[name], resumed[name])]
    assert not different


def test_out_of_memory_is_one_line(
    cuda: torch.device, digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The GPU's own error, in a process that may use next to nothing of it."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        assert main(["predict", str(digits_run), str(pictures), "--output", str(tmp_path / "rows.csv")]) == 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory" in capsys.readouterr().err.lower()
