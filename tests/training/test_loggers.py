"""Figures and overlays of a run in TensorBoard, wandb and trackio: a stand-in records what it is given."""

import json
import os
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vit.cli import main
from vit.errors import VitError
from vit.training.loggers import Tracker, make_logger

SMALL = [
    "train",
    "--config",
    "digits",
    "--model.width",
    "24",
    "--model.depth",
    "1",
    "--trainer.overlays",
    "1",
]

# A package with the interface of wandb and trackio that writes each call to `calls.jsonl`.
STAND_IN = """
import json
from pathlib import Path

def told(call, *values, **named):
    with Path("calls.jsonl").open("a") as file:
        print(json.dumps([call, values, named], default=repr), file=file)

class Image:
    def __init__(self, picture):
        self.size = picture.size
    def __repr__(self):
        return f"picture {self.size}"

class Run:
    def log(self, values, step=None):
        told("log", values, step=step)

def Settings(**named):
    return named

def init(**named):
    told("init", **named)
    return Run()

def finish(**named):
    told("finish", **named)
"""


def calls(folder: Path) -> list[Any]:
    """Name, values and named values of each call, and none is left."""
    file = folder / "calls.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    return found


@pytest.fixture(params=["wandb", "trackio"])
def stand_in(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / f"{request.param}.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")  # is set otherwise, and restored after the test
    monkeypatch.chdir(tmp_path)
    return request.param


def test_what_a_library_is_given(stand_in: str, tmp_path: Path) -> None:
    words = [*SMALL, "--trainer.logger", stand_in, "--name", "a"]
    assert main([*words, "--trainer.max_epochs", "2"]) == 0
    (_, _, begun), *logged, (name, _, ended) = calls(tmp_path)
    assert begun["project"] == "vit"
    assert begun["config"]["trainer"]["max_epochs"] == 2
    assert begun["name"].startswith("a")
    assert (name, ended) == ("finish", {})
    steps = [named["step"] for _, _, named in logged]
    assert steps == sorted(steps)  # wandb drops what comes late
    rows = [values for _, (values,), _ in logged]
    assert [row["val_accuracy"] for row in rows if "val_accuracy" in row] == pytest.approx(
        column(tmp_path / "runs" / "a" / "metrics.csv", "val_accuracy"), abs=1e-5
    )
    assert len([row for row in rows if "picture" in str(row.get("overlays"))]) == 2
    assert not (tmp_path / "runs" / "a" / "tensorboard").exists()

    assert main(["train", "--resume", "--name", "a", "--trainer.max_epochs", "3"]) == 0
    resumed = next(named for name, _, named in calls(tmp_path) if name == "init")
    assert (resumed["name"], resumed.get("id")) == (begun["name"], begun.get("id"))
    assert resumed["resume"] == "allow"
    assert main([*words, "--trainer.max_epochs", "1", "--overwrite"]) == 0
    replaced = next(named for name, _, named in calls(tmp_path) if name == "init")
    assert (replaced["name"], replaced.get("id")) != (begun["name"], begun.get("id"))


def column(file: Path, name: str) -> list[float]:
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    return [float(row[header.index(name)]) for row in rows]


def test_a_library_that_refuses(stand_in: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "packages" / f"{stand_in}.py").open("a") as file:
        file.write("\ndef init(**named):\n    raise RuntimeError('no key:\\nlog in.')\n")
    assert main([*SMALL, "--trainer.max_epochs", "1", "--trainer.logger", stand_in]) == 1
    error = capsys.readouterr().err
    assert error == (
        f"vit: trainer.logger is {stand_in}, which does not begin: no key: log in; "
        "--trainer.logger csv does without it\n"
    )
    assert not (tmp_path / "runs" / "digits").exists()


def test_the_end_of_a_run_and_other_processes(
    stand_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = make_logger(stand_in, tmp_path, resumed=False)
    assert isinstance(logger, Tracker)
    logger.finalize("failed")  # it has not begun
    assert not (tmp_path / "calls.jsonl").exists()
    logger.save()
    logger.finalize("failed")
    failed = {"exit_code": 1} if stand_in == "wandb" else {}
    assert [(name, named) for name, _, named in calls(tmp_path)][1:] == [("finish", failed)]
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger.save()
    logger.log_metrics({"loss": 1.0}, step=3)
    logger.finalize("success")
    assert not (tmp_path / "calls.jsonl").exists()


@pytest.mark.parametrize("leftover", [True, False], ids=["a folder of that name", "nothing"])
@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_a_missing_package_is_said_before_anything_heavy_starts(
    package: str, leftover: bool, tmp_path: Path
) -> None:
    if leftover:  # as wandb leaves one for its offline runs: Python takes it for a package without files
        (tmp_path / package).mkdir()
    program = (
        "import sys; from importlib.machinery import PathFinder; import vit.recipes.checks as checks\n"
        "checks.find_spec = lambda name: PathFinder.find_spec(name, ['.'])\n"
        f"from vit.cli import main; code = main({[*SMALL, '--trainer.logger', package]!r})\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 False\n"
    assert done.stderr == (
        f"vit: trainer.logger is {package}, which needs the package {package}: pip install 'vit[{package}]'\n"
    )
    assert not (tmp_path / "runs").exists()


def test_csv_and_a_name_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--trainer.max_epochs", "1", "--trainer.logger", "csv"]) == 0
    names = {path.name for path in (tmp_path / "runs" / "digits").iterdir()}
    assert {"metrics.csv", "steps.csv"} <= names
    assert not {"tensorboard", "run_id"} & names
    assert main([*SMALL, "--trainer.logger", "mlflow", "--name", "b"]) == 2
    assert "wandb" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("wandb") is None, reason="needs wandb: pip install 'vit[wandb]'")
def test_wandb_without_a_network(tmp_path: Path) -> None:
    done = shell(tmp_path, "wandb", WANDB_MODE="offline", https_proxy="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "runs" / "digits" / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert all(word in content for word in (b"val_accuracy", b"train_loss", b"overlays", b"max_epochs"))
    assert "WARNING" not in done.stderr


@pytest.mark.skipif(find_spec("trackio") is None, reason="needs trackio: pip install 'vit[trackio]'")
def test_trackio_without_a_network(tmp_path: Path) -> None:
    done = shell(tmp_path, "trackio", TRACKIO_DIR=str(tmp_path / "records"), https_proxy="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "records" / "vit.db") as records:
        rows = records.execute("select run_name, step, metrics from metrics order by id").fetchall()
    records.close()
    assert {name.partition("-")[0] for name, _, _ in rows} == {"digits"}
    figures = [json.loads(row) for _, _, row in rows]
    accuracies = [row["val_accuracy"] for row in figures if "val_accuracy" in row]
    metrics = tmp_path / "runs" / "digits" / "metrics.csv"
    assert accuracies == pytest.approx(column(metrics, "val_accuracy"), abs=1e-5)
    assert sum("overlays" in row for row in figures) == len(accuracies)


def shell(folder: Path, logger: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [*SMALL, "--trainer.max_epochs", "2", "--trainer.logger", logger]
    return subprocess.run(
        [sys.executable, "-m", "vit", *words],
        cwd=folder, capture_output=True, text=True, env=os.environ | environment, timeout=120,
    )  # fmt: skip


def test_a_project_of_ones_own(stand_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    logger = make_logger(stand_in, tmp_path, resumed=False)
    assert isinstance(logger, Tracker)
    assert logger.options["project"] == ("mine" if stand_in == "wandb" else "vit")
    monkeypatch.setattr(logger.library, "init", lambda **_: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(VitError, match=f"trainer.logger is {stand_in}, which does not begin: no; "):
        logger.save()
