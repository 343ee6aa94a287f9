"""Where the functions are called: plain scripts without a guard, threads, notebooks; and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import vit

BEGIN = """
import os
with open("ran", "a") as ran:
    ran.write(f"{os.getpid()}\\n")
import vit
"""
EVERYTHING = """
run = vit.train("digits", {"model.width": 24, "model.depth": 1, "trainer.max_epochs": 1}, name="try")
rows = list(vit.predict(run.model, ["pictures"]))
assert [row["status"] for row in rows] == ["ok"] * 7, rows
assert len(list(vit.embed("runs/try", ["pictures"]))) == 7
assert vit.evaluate(run.model)["n"] == 359
unfinished = vit.predict(run.model, ["pictures"] * 99)
next(unfinished)
"""
SPAWN = "import multiprocessing; multiprocessing.get_all_start_methods = lambda: ['spawn']"
PREDICT = """
unfinished = vit.predict(MODEL, ["pictures"] * 99)
assert next(unfinished)["status"] == "ok"
"""


def run(script: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "-W", "error", *words, "script.py"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )


def ran_once(script: str, folder: Path) -> None:
    done = run(script, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((folder / "ran").read_text().splitlines()) == 1


def test_a_script_without_a_guard_runs_once_and_says_nothing(pictures: Path, tmp_path: Path) -> None:
    ran_once(BEGIN + EVERYTHING, tmp_path)
    assert (tmp_path / "runs" / "try" / "train.log").is_file()


def test_where_decoders_are_spawned_it_runs_once_too(
    pictures: Path, tmp_path: Path, digits_run: Path
) -> None:
    ran_once(SPAWN + BEGIN + PREDICT.replace("MODEL", repr(str(digits_run))), tmp_path)


def test_what_other_threads_start_knows_the_script(pictures: Path, tmp_path: Path, digits_run: Path) -> None:
    """Leaving the script out concerns decoders alone: a pool of the caller's still finds its functions."""
    script = f"""
import multiprocessing, threading

def square(number):
    return number * number

if __name__ == "__main__":
    import vit

    model = vit.load_model({str(digits_run)!r})
    rows = []
    thread = threading.Thread(target=lambda: rows.extend(vit.predict(model, ["pictures"] * 20)))
    thread.start()
    for _ in range(3):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            assert pool.map(square, range(4)) == [0, 1, 4, 9]
    thread.join()
    assert len(rows) == 140
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_is_quick(tmp_path: Path) -> None:
    script = """
import sys
import vit
from vit import VitError, embed, evaluate, predict, table, train
assert "torch" not in sys.modules
assert set(vit.__all__) <= set(dir(vit))
assert all(getattr(vit, name).__doc__ for name in vit.__all__)
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_threads(digits_run: Path, pictures: Path) -> None:
    model = vit.load_model(digits_run)
    expected = list(vit.predict(model, pictures))
    found: dict[int, list[dict[str, Any]]] = {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def work(number: int) -> None:
        found[number] = list(vit.predict(model, pictures, batch_size=1 + number))

    threads = [Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows in found.values():
        assert [row["label"] for row in rows] == [row["label"] for row in expected]
    assert len(found) == 3
    assert handlers == {number: signal.getsignal(number) for number in handlers}


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(folder.name)] = (parent, (folder / "cmdline").read_bytes().decode())
            except OSError:
                continue
    return found


def decoders(pid: int) -> list[int]:
    """The decoding processes of a process: the children of its forkserver."""
    found = processes()
    servers = {child for child, (parent, words) in found.items() if parent == pid and "forkserver" in words}
    return [child for child, (parent, _) in found.items() if parent in servers]


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").is_file(), reason="processes are listed from /proc, which this system has not"
)


@needs_proc
def test_decoders_end_with_the_iterator(digits_run: Path, pictures: Path) -> None:
    model = vit.load_model(digits_run)
    before = len(decoders(os.getpid()))
    rows = vit.predict(model, [pictures] * 20, batch_size=1)
    next(rows)
    assert len(decoders(os.getpid())) > before
    rows.close()
    assert len(decoders(os.getpid())) == before
    rows = vit.predict(model, [pictures] * 20, batch_size=1)
    next(rows)
    del rows
    assert len(decoders(os.getpid())) == before


@needs_proc
def test_ctrl_c_ends_the_decoders(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    script = f"""
import itertools, signal, time
import vit
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
rows = vit.predict({str(digits_run)!r}, itertools.repeat("pictures/a.png"), batch_size=2)
next(rows)
print("ready", flush=True)
try:
    for row in rows:
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(60)
"""
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert decoders(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        deadline = time.monotonic() + 10
        while decoders(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert decoders(process.pid) == []
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


NOTEBOOK = [
    "import vit\nrun = vit.train('digits', {'model.width': 24, 'model.depth': 1, 'trainer.max_epochs': 1}, "
    "name='try')",
    "rows = list(vit.predict(run.model, ['pictures']))\nlen(rows)",
    "vit.table(rows).num_rows, vit.evaluate('runs/try')['n']",
]


def test_a_notebook(pictures: Path, tmp_path: Path) -> None:
    runner = Path(sys.executable).with_name("jupyter-execute")
    if not runner.is_file():
        pytest.skip("nbclient is not installed: pip install '.[dev]'")
    cells = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "outputs": [], "execution_count": None,
         "source": source}
        for number, source in enumerate(NOTEBOOK)
    ]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "a.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    )
    done = subprocess.run(
        [str(runner), "--inplace", "a.ipynb"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [cell["outputs"] for cell in json.loads((tmp_path / "a.ipynb").read_text())["cells"]]
    trained = "".join("".join(output.get("text", ())) for output in outputs[0])
    assert trained.startswith("runs/try: reading digits\nruns/try: digits, 10 classes")
    assert "epoch   1" in trained
    line, counted = outputs[1]
    assert "".join(line["data"]["text/plain"]).startswith("7 of 7 pictures, ")
    assert counted["data"]["text/plain"] == ["7"] or counted["data"]["text/plain"] == "7"
    assert "".join(outputs[2][-1]["data"]["text/plain"]) == "(7, 359)"


def test_a_terminal_shows_progress_on_stderr_alone(
    digits_run: Path, pictures: Path, tmp_path: Path, script_in_terminal: Callable[[str], tuple[str, str]]
) -> None:
    code = f"""
import vit
for row in vit.predict({str(digits_run)!r}, ["{pictures}"]):
    print(row["path"])
list(vit.embed({str(digits_run)!r}, ["{pictures}"], progress=False))
"""
    out, err = script_in_terminal(code)
    assert out.splitlines() == ["a.png", "b.png", "c-d.png", "c.png", "deep/a.png", "deep/z.png", "e.png"]
    assert "7 pictures, " in err


@pytest.fixture
def script_in_terminal(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Runs a script whose stderr is a terminal, and whose stdout is a pipe."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

    def start(code: str) -> tuple[str, str]:
        (tmp_path / "script.py").write_text(code)
        ours, theirs = pty.openpty()
        environment = os.environ | {"COLUMNS": "200", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "script.py"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True,
        )  # fmt: skip
        os.close(theirs)
        shown: list[bytes] = []

        def read() -> None:
            while True:
                try:
                    content = os.read(ours, 4096)
                except OSError:  # the terminal has no writer left
                    return
                if not content:
                    return
                shown.append(content)

        thread = Thread(target=read)
        thread.start()
        out, _ = process.communicate(timeout=100)
        thread.join()
        os.close(ours)
        assert process.returncode == 0, b"".join(shown).decode()
        return out, b"".join(shown).decode()

    return start
