"""`vit serve` on the command line."""

import socket
import subprocess
import sys

import pytest

from . import serving  # noqa: F401  (skips where nothing serves)

from vit.cli import main  # isort: skip


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("cifar10 --host 0.0.0.0", 2, "give a --token"),
        ("cifar10 --token ü", 2, "--token"),
        ("cifar10 --root-path vit", 2, "like /vit"),
        ("cifar10 --queue 0", 2, "--queue is 0"),
        ("cifar10 --queue 8", 2, "raise --queue"),
        ("cifar10 --prot 1", 2, "--port"),
        ("nonsense --port 0", 1, "nonsense is not a model"),
        ("cifar10 --host 203.0.113.1 --token a", 1, "203.0.113.1"),
    ],
)
def test_what_cannot_be_served(
    words: str, code: int, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIT_SERVE_TOKEN", raising=False)
    assert main(["serve", *words.split()]) == code
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "cifar10", "--port", str(other.getsockname()[1])]) == 1
    assert "give another --port" in capsys.readouterr().err


def test_help_has_an_example_and_imports_nothing_slow() -> None:
    program = (
        "import sys\nfrom vit.cli import main\n"
        "try:\n  main(['serve', '--help'])\nexcept SystemExit:\n  pass\n"
        "print({'torch', 'fastapi', 'uvicorn', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "vit serve runs/digits" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_without_its_extra_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "cifar10"]) == 1
    assert "pip install 'vit[serve]'" in capsys.readouterr().err
