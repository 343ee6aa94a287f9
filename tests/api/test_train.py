"""`vit.train`: the run of the command, its messages, and what it leaves as it was."""

import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vit
from vit.cli import main

SMALL: dict[str, Any] = {
    "model.width": 24, "model.depth": 2, "trainer.max_epochs": 2, "trainer.precision": "32-true",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options(values: dict[str, Any]) -> list[str]:
    return [f"--{key}={value}" for key, value in values.items()]


def test_the_run_is_that_of_the_command(digits_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    expected = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    run = vit.train("digits", SMALL, name="small")
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == expected[1:]
    assert run.folder == Path("runs/small")
    assert (run.folder / "report.html").is_file()
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (run.folder, digits_run))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert run.metrics["n"] > 100
    assert run.skipped == 0
    assert not run.model.training
    assert main(["train", "--config=digits", "--name=small", "--resume"]) == 0
    assert "nothing is left to train: 2 epochs are done" in capfd.readouterr().out


def test_a_config_by_default_and_one_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data:\n  name: digits\nmodel:\n  width: 24\n  depth: 1\n")
    values = {"trainer.max_epochs": 1, "trainer.overlays": 0}
    run = vit.train(tmp_path / "mine.yaml", values | {"seed": 5})
    assert run.folder == Path("runs/mine")
    assert "seed: 5" in (run.folder / "config.yaml").read_text()
    with pytest.raises(vit.VitError, match=r"runs/mine exists: --resume continues it"):
        vit.train(tmp_path / "mine.yaml", values | {"seed": 5})
    again = vit.train(tmp_path / "mine.yaml", values | {"trainer.max_epochs": 2, "seed": 5}, resume=True)
    assert len((again.folder / "metrics.csv").read_text().splitlines()) == 3
    replaced = vit.train(tmp_path / "mine.yaml", values, overwrite=True)
    assert "seed: 0" in (replaced.folder / "config.yaml").read_text()


WRONG = [
    {"trainer.max_epoch": 3},
    {"trainer.max_epochs": "x"},
    {"trainer.max_epochs": 0},
    {"optim.lr": -1},
    {"data.name": "digit"},
    {"model.heads": 5},
    {"data.root": "none", "data.name": "folder"},
    {"trainer.max_time": "10 minutes"},
    {"model.pool": "max"},
]


@pytest.mark.parametrize("values", WRONG, ids=lambda values: next(iter(values)))
def test_messages_are_those_of_the_command(
    values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--config", "digits", *options(values)]) in (1, 2)
    said = capsys.readouterr().err
    with pytest.raises(vit.VitError) as caught:
        vit.train("digits", values)
    assert said == f"vit: {' '.join(str(caught.value).split())}\n"
    assert not Path("runs/digits").exists()


def test_a_config_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "digts"]) == 2
    with pytest.raises(vit.VitError) as caught:
        vit.train("digts")
    assert capsys.readouterr().err == f"vit: {caught.value}\n"


def test_values_are_spelt_as_in_yaml() -> None:
    from vit.api.arguments import parsed
    from vit.config_file import to_config

    values = {
        "trainer.max_time": "00:00:10:00", "trainer.max_epochs": None, "optim.betas": (0.8, 0.95),
        "data.root": Path("2024"), "model.class_token": False, "optim.lr": 1e-5,
        "data.label_columns": ["no", "ünïcode"], "data.image_size": [32, 64],
    }  # fmt: skip
    config = to_config(parsed("digits", values, None, resume=False, overwrite=False))
    assert (config.trainer.max_time, config.trainer.max_epochs) == ("00:00:10:00", None)
    assert (config.optim.betas, config.optim.lr) == ((0.8, 0.95), 1e-5)
    assert (config.data.root, config.model.class_token) == ("2024", False)
    assert (config.data.label_columns, config.data.image_size) == (("no", "ünïcode"), (32, 64))
    with pytest.raises(vit.VitError, match="expected a text, a number, a list or None"):
        vit.train("digits", {"data.root": object()})


@pytest.mark.parametrize("values", [{"trainer.devices": 2}, {"trainer.num_nodes": 2}])
def test_a_run_is_one_process(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(vit.VitError, match=r"is 2, and vit\.train is one process"):
        vit.train("digits", values)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(vit.VitError, match="here are 2: torchrun"):
        vit.train("digits")


def test_a_thread_trains_and_touches_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[Any] = []
    plain = signal.signal
    monkeypatch.setattr(signal, "signal", lambda *args: touched.append(args) or plain(*args))
    runs: list[Any] = []
    thread = threading.Thread(
        target=lambda: runs.append(vit.train("digits", SMALL | {"trainer.overlays": 0}, name="threaded"))
    )
    thread.start()
    thread.join()
    assert runs[0].metrics["n"] > 100
    assert touched == []


def test_ctrl_c_is_an_exception_and_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from vit.training.callbacks.logs import StepLog

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(StepLog, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        vit.train("digits", SMALL, name="stopped")
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_the_first_line_and_a_run_that_has_used_up_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    timed = SMALL | {
        "trainer.max_epochs": "null", "trainer.max_time": "00:00:00:01", "trainer.overlays": 0,
    }  # fmt: skip
    words = ["train", "--config", "digits", "--name", "timed", *options(timed)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("runs/timed: reading digits\nruns/timed: digits, 10 classes")
    assert "nothing is left" not in said
    assert main([*words, "--resume"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("runs/timed: continuing, reading digits\n")
    assert "nothing is left to train: --trainer.max_time 00:00:00:01 is used up" in said


def test_the_first_line_names_data_and_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["train", "--config", "folder", "--data.root", "empty", "--model.patch_size", "8"]) == 1
    assert capsys.readouterr().out == "runs/folder: reading folder from empty\n"
    from vit.api.arguments import parsed
    from vit.api.train import _reading
    from vit.config_file import to_config
    from vit.training.run_folder import RunFolder

    values = {"data.name": "folder", "data.root": "mine", "model.init": "cifar10"}
    config = to_config(parsed("finetune", values, None, resume=False, overwrite=False))
    said = _reading(config, RunFolder(Path("runs/a"), resume=True))
    assert said == "runs/a: continuing, reading folder from mine, and the weights of cifar10"
