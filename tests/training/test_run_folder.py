"""The lock of a run folder, and that a folder is refused without torch."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vit.config import Config
from vit.config_file import stored_config, to_yaml
from vit.errors import VitError
from vit.training.run_folder import LAST, PREVIOUS, RunFolder, prepare_run_folder

TRAIN = """
import sys, time
from pathlib import Path
from vit.training.run_folder import RunFolder
with RunFolder(Path("runs/run"), resume=True).open():
    print("open", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/run`, a run that can be resumed."""
    monkeypatch.chdir(tmp_path)
    run = Path("runs/run")
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / LAST).touch()
    (run / "config.yaml").write_text(to_yaml(Config()))
    return run


def test_the_lock_of_a_process_that_is_killed_is_free(run: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", TRAIN], stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "open\n"
        folder = prepare_run_folder("run", Config(), resume=True)
        with pytest.raises(VitError, match=r"runs/run is in use by another process: wait for it, or"):
            folder.open().__enter__()
        training.send_signal(signal.SIGKILL)
    assert (run / "lock").is_file()
    with folder.open():
        (run / "steps.csv").write_text("step\n")
    assert (run / "steps.csv").is_file()


def test_the_lock_file_of_an_earlier_version(run: Path) -> None:
    (run / "lock").write_bytes(b"")
    for _ in range(2):
        with prepare_run_folder("run", Config(), resume=True).open():
            pass
    with prepare_run_folder("run", Config(), overwrite=True).open():
        assert RunFolder(run).replaced.is_dir()
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / LAST).touch()
    assert not RunFolder(run).replaced.exists()


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ([], False),
        (["best.ckpt", "last.ckpt.tmp"], False),
        ([LAST], True),
        ([PREVIOUS, "last.ckpt.tmp"], True),
    ],
)
def test_a_replacement_counts_once_it_can_be_resumed(files: list[str], kept: bool, run: Path) -> None:
    """Whatever of a first checkpoint a killed run has written."""
    folder = RunFolder(run)
    run.rename(folder.replaced)
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("the new run's")
    for name in files:
        (run / "checkpoints" / name).touch()
    resumed = folder.config_to_resume.read_text()
    folder.put_back()
    assert resumed == (run / "config.yaml").read_text()
    assert (resumed == "the new run's") == kept
    assert folder.replaced.exists() == kept


def test_a_folder_is_refused_before_torch_is_imported(run: Path) -> None:
    program = "import sys, vit.cli; print(vit.cli.main(sys.argv[1:]), 'torch' in sys.modules)"
    arguments = ["train", "--config", "digits", "--name", "run"]
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ended.stdout == "1 False\n"
    assert "runs/run exists: --resume continues it, --overwrite replaces it" in ended.stderr


def test_resume_begins_where_nothing_is(run: Path) -> None:
    config = stored_config(run / "config.yaml")
    folder = prepare_run_folder("new", config, resume=True)
    assert not folder.resume, "there is no run of that name"
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.unlink()
    (run / "train.log").write_text("killed before its first checkpoint")
    folder = prepare_run_folder("run", config, resume=True)
    assert not folder.resume
    with folder.open():
        assert not (run / "config.yaml").exists(), "a new folder"
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last.ckpt").touch()
    assert run.is_dir()


def test_resume_leaves_alone_what_is_no_run_or_another_run(run: Path) -> None:
    (run.parent / "photos").mkdir()
    with pytest.raises(VitError, match="not a run: choose another --name"):
        prepare_run_folder("photos", Config(), resume=True)
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.unlink()
    config = stored_config(run / "config.yaml")
    config.optim.lr *= 2
    with pytest.raises(VitError, match=r"cannot resume .*optim\.lr"):
        prepare_run_folder("run", config, resume=True)
    assert (run / "config.yaml").is_file()
