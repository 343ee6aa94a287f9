"""The command line as a user meets it: real processes where it matters, `main` elsewhere."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vit.cli import VERBS, main

VIT = [sys.executable, "-m", "vit.cli"]


def shell(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VIT, *words], cwd=cwd, capture_output=True, text=True, env=os.environ | environment, timeout=250
    )


@pytest.mark.parametrize(
    "words", [[], *([verb] for verb in VERBS)], ids=lambda words: words[0] if words else "vit"
)
def test_help_is_quick_and_loads_no_torch(words: list[str]) -> None:
    seconds = []
    for _ in range(5):
        # Processor time, because other tests run at the same time.
        before = os.times()
        done = shell(*words, "--help")
        after = os.times()
        used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        seconds.append(used)
    assert done.returncode == 0
    assert "example:" in done.stdout
    assert min(seconds) < 0.3
    probe = f"import sys, vit.cli; vit.cli.main({[*words, '--help']!r})"
    code = f"import sys\ntry:\n    {probe}\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    probed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert probed.stdout.splitlines()[-1] == "False"


def test_import_vit_loads_no_torch() -> None:
    code = "import sys, vit; print('torch' in sys.modules, vit.__all__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.startswith(
        "False"
    )


def test_version() -> None:
    assert shell("--version").stdout.startswith("vit 0.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], ""),
        (["trian"], "unknown verb trian; did you mean train?"),
        (["train", "--optim.lrr", "1"], "unknown option --optim.lrr; did you mean --optim.lr?"),
        (["train", "--optim.lr", "fast"], "--optim.lr is fast, expected a number (see vit train --help)"),
        (["train", "--optim.lr="], "--optim.lr is empty, expected a number"),
        (["train", "--optim.betas", "1"], "--optim.betas is 1, expected [a number, a number]"),
        (["train", "--model.stem", "x"], "--model.stem is x, expected [a whole number, ...] or null"),
        (["train", "--data.resize", "zoom"], "--data.resize is zoom, expected crop, squash, pad or null"),
        (["train", "--trainer.compile", "maybe"], "--trainer.compile is maybe, expected true, false or auto"),
        (["predict", "m", "x", "--output", "o", "--topk", "5.5"], "--topk is 5.5, expected a whole number"),
        (["train", "--config", "digit"], "did you mean digits?"),
        (["train", "--model.pool", "sum"], "pool"),
        (["predict", "m", "x"], "--output"),
        (["predict", "m", "x", "--output", "o.csv", "--topk", "0"], "--topk is 0, expected at least 1"),
        (["attend", "m", "x", "--output", "o", "--method", "lime"], "expected one of: auto, raw, rollout"),
        (["attend", "m", "x", "--output", "o", "--method", "raw", "--target", "cat"], "explains no class"),
        (["attend", "m", "--output", "o"], "give either INPUT"),
        (["evaluate", "m", "--split", "tset"], "did you mean test?"),
        (["info"], "model"),
    ],
)
def test_wrong_usage_is_2_and_one_line(
    words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error = capfd.readouterr().err
    assert says in error
    assert error.count("\n") == (1 if words else 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["info", "nowhere"], "nowhere is not a model"),
        (["info", "hf:bert"], "hf:bert is not a folder"),
        (["info", "timm:vit_tiny_patch16_2240"], "did you mean vit_tiny_patch16_224?"),
        (["data", "nowhere"], "neither a dataset's name nor a path"),
        (["data", "cifar"], "did you mean cifar10?"),
        (["attend", "m", "--text", "hello", "--output", "o"], "m is not a model"),
    ],
)
def test_failure_is_1_and_one_line(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    out, error = capfd.readouterr()
    assert says in error
    assert (out, error.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_data_root(tmp_path: Path) -> None:
    done = shell("train", "--config", "folder", "--data.root", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nowhere does not exist" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_missing_cifar_says_how_to_provide_it(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cifar10").mkdir(parents=True)
    done = shell("train", cwd=tmp_path, VIT_DATA=str(tmp_path / "empty"), https_proxy="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "train-*.parquet" in done.stderr


def test_an_empty_folder(tmp_path: Path, digits_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["train", "--config", "folder", "--data.root", str(empty)]) == 1
    assert "no class folders" in capfd.readouterr().err
    assert main(["predict", str(digits_run), str(empty), "--output", str(tmp_path / "o.csv")]) == 0
    assert (tmp_path / "o.csv").read_text() == "path,status,error,label,index,score,topk\n"


def test_a_run_folder_is_never_lost(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(digits_run.parent.parent)
    before = sorted(path.name for path in digits_run.rglob("*"))
    assert main(["train", "--config", "digits", "--name", "small"]) == 1
    assert "--resume continues it, --overwrite replaces it" in capfd.readouterr().err
    words = ["train", "--config", "folder", "--data.root", "nowhere", "--name", "small", "--overwrite"]
    assert main(words) == 1  # what would replace it cannot start, so it stays
    assert main(["train", "--resume", "--name", "small", "--model.depth", "3"]) == 1
    assert "model.depth is 3, and was 2" in capfd.readouterr().err
    words = ["train", "--resume", "--name", "other", "--config", "folder", "--data.root", "nowhere"]
    assert main(words) == 1  # nothing is there, so it begins, and has no data
    assert "nowhere does not exist" in capfd.readouterr().err
    assert not (digits_run.parent / "other").exists()
    assert sorted(path.name for path in digits_run.rglob("*")) == before


def test_a_folder_that_is_no_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["info", str(tmp_path)]) == 1
    assert "is it a model bundle?" in capfd.readouterr().err.replace(f"{tmp_path} a", "it a")


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert main(["info", str(tmp_path)]) == 1
    assert "vit train --resume" in capfd.readouterr().err


def test_evaluate_prints_one_json_object(digits_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(digits_run), "--json"]) == 0
    out, error = capfd.readouterr()
    figures = json.loads(out)
    assert {"accuracy", "accuracy_top5", "n", "split", "data", "model"} <= figures.keys()
    assert (figures["n"], figures["split"], figures["data"]) == (359, "test", "digits")
    assert error == ""
    assert list(figures["by_class"]) == [str(digit) for digit in range(10)]
    assert sum(figures["by_class"].values()) / 10 == pytest.approx(figures["accuracy"], abs=0.02)
    assert main(["evaluate", str(digits_run), "--flip", "--json"]) == 0
    mirrored = json.loads(capfd.readouterr().out)
    assert mirrored["flip"]
    assert mirrored["accuracy"] < figures["accuracy"]  # digits are not what their mirror images are


def test_a_label_count_that_does_not_fit(
    digits_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for label in ("0", "1", "eleven"):
        (tmp_path / label).mkdir()
        for index in range(5):
            Image.new("L", (8, 8), 20 * index).save(tmp_path / label / f"{index}.png")
    assert main(["evaluate", str(digits_run), "--data", str(tmp_path)]) == 1
    error = capfd.readouterr().err
    assert "3 classes, the model 10, and 'eleven' is none of the model's" in error


def test_labels_are_matched_by_name(
    digits_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder with some of the classes is measured on those, whatever their numbers in the folder."""
    from torchvision.transforms.v2.functional import to_pil_image

    from vit.data.datasets import load

    test = load("digits").test
    assert test is not None
    for index in range(len(test)):
        if int(test.targets[index]) in (3, 7):
            folder = tmp_path / str(int(test.targets[index]))
            folder.mkdir(exist_ok=True)
            to_pil_image(test[[index]][0][0]).save(folder / f"{index}.png")
    assert main(["evaluate", str(digits_run), "--data", str(tmp_path), "--split", "all", "--json"]) == 0
    by_folder = json.loads(capfd.readouterr().out)
    assert main(["predict", str(digits_run), str(tmp_path), "--output", str(tmp_path / "o.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    right = sum(row["label"] == row["path"].split("/")[0] for row in rows)
    assert by_folder["n"] == len(rows)
    assert by_folder["accuracy"] == pytest.approx(right / len(rows))


def test_info_models_and_data(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(digits_run.parent.parent)
    assert main(["info", "runs/small", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["depth"] == 2
    assert facts["labels"] == [str(digit) for digit in range(10)]
    assert main(["info", "runs/small/model"]) == 0
    assert "parameters" in capfd.readouterr().out
    assert main(["models"]) == 0
    assert "runs/small" in capfd.readouterr().out
    assert main(["data", "digits", "--json"]) == 0
    counts = json.loads(capfd.readouterr().out)["counts"]
    assert sum(map(sum, counts.values())) == 1797


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_a_run_with_their_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        ENDLESS, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        last = wait_for_checkpoint(tmp_path)
        run.send_signal(number)
        _, error = run.communicate(timeout=60)
    assert run.returncode == code, error
    assert error.count("\n") == 1
    assert last.exists()


ENDLESS = [*VIT, "train", "--config", "digits", "--trainer.max_epochs", "500", "--model.width", "24"]


def wait_for_checkpoint(folder: Path) -> Path:
    """The first checkpoint of the run, once it is there."""
    last = folder / "runs" / "digits" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    return last


def test_a_run_under_nohup_goes_on(tmp_path: Path) -> None:
    words = ["nohup", *ENDLESS]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    ) as run:
        wait_for_checkpoint(tmp_path)
        run.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(1)
        run.send_signal(signal.SIGTERM)
        _, error = run.communicate(timeout=60)
    assert run.returncode == 143, error
    assert error == "vit: terminated\n"


def test_a_terminal_that_closes(tmp_path: Path) -> None:
    """As when an ssh connection drops: SIGHUP, and each write to the terminal fails from then on."""
    pty = pytest.importorskip("pty")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execv(ENDLESS[0], ENDLESS)
    reader = threading.Thread(target=drain, args=(terminal,), daemon=True)
    reader.start()
    last = wait_for_checkpoint(tmp_path)
    before = last.read_bytes()
    closed = os.open(os.devnull, os.O_RDONLY)
    os.dup2(closed, terminal)  # closes the terminal, also while the thread reads
    os.kill(process, signal.SIGHUP)  # the shell sends another one
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert last.read_bytes() != before
    assert "stopped; --resume goes on" in (tmp_path / "runs" / "digits" / "train.log").read_text()


def drain(terminal: int) -> None:
    """Read what a terminal shows, so that its program never waits."""
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_console_that_lacks_a_character(tmp_path: Path, encoding: str) -> None:
    from PIL import Image

    for label in ("猫", os.fsdecode(b"d\xffg")):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for index in range(7):
            Image.new("L", (8, 8), 20 * index).save(tmp_path / "pictures" / label / f"{index}.png")
    done = subprocess.run(
        [*VIT, "data", "pictures"], cwd=tmp_path, capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    shown = done.stdout.decode(encoding)
    assert done.returncode == 0, done.stderr
    assert ("猫" if encoding == "utf-8" else "\\u732b") in shown
    assert "d\\udcffg" in shown
    missing = subprocess.run(
        [*VIT, "data", "没有"], capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}
    )
    assert missing.returncode == 1
    assert missing.stderr.count(b"\n") == 1
