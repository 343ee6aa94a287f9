"""The shell itself is asked what it would offer."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vit.cli import VERBS, main

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
_shtab_vit 2> /dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, file: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "vit", "--print-completion", shell], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    file.write_text(done.stdout, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("this machine has no bash")
    return script("bash", tmp_path_factory.mktemp("completion") / "vit.bash")


def offered(bash_script: Path, *words: str, cwd: Path | None = None) -> list[str]:
    """What bash offers for the last word; "" is a word that is not begun."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", str(bash_script), "vit", *words],
        check=True, capture_output=True, text=True, cwd=cwd,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


def options_of(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The options that `--help` describes."""
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = re.findall(r"^ +(?:-h, )?(--[\w.-]+)", capsys.readouterr().out, re.MULTILINE)
    return set(shown)


def test_verbs(bash_script: Path) -> None:
    assert offered(bash_script, "") == list(VERBS)
    assert set(offered(bash_script, "--")) >= {"--version", "--print-completion", "--help"}
    assert offered(bash_script, "pre") == ["predict"]


@pytest.mark.parametrize("verb", VERBS)
def test_options_of_each_verb(verb: str, bash_script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = options_of(verb, capsys)
    assert wanted - set(offered(bash_script, verb, "--")) == set()
    assert len(wanted) >= 1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["train", "--optim.l"], ["--optim.lr", "--optim.label_smoothing", "--optim.layer_decay"]),
        (["train", "--config", "dig"], ["digits"]),
        (["train", "--optim.name", "m"], ["muon"]),
        (["train", "--data.name", "ci"], ["cifar10", "cifar100"]),
        (["train", "--data.cache", ""], ["true", "false"]),
        (["train", "--trainer.max_epochs", ""], [""]),
        (["predict", "cif"], ["cifar10", "cifar10_plain"]),
        (["predict", "cifar10", "a p"], ["a picture.png"]),
        (["predict", "cifar10", "a picture.png", "--output", "row"], ["rows.csv"]),
        (["attend", "cifar10", "x", "--method", "ro"], ["rollout"]),
        (["attend", "cifar10", "x", "--special", ""], ["apart", "shown"]),
        (["train", "--data.root", "cif"], ["cifar10"]),
        (["data", "cifar100"], ["cifar100"]),
        (["evaluate", "cifar10", "--data", "dig"], ["digits"]),
        (["info", "nothing of that name"], [""]),
    ],
)
def test_values(words: list[str], wanted: list[str], bash_script: Path, tmp_path: Path) -> None:
    for name in ("a picture.png", "rows.csv"):
        (tmp_path / name).touch()
    if "--data.root" in words:
        (tmp_path / "cifar10").mkdir()
    assert offered(bash_script, *words, cwd=tmp_path) == wanted


def test_bash_and_zsh_can_read_their_scripts(bash_script: Path, tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", str(bash_script)], check=True)
    zsh_script = script("zsh", tmp_path / "_vit")
    text = zsh_script.read_text(encoding="utf-8")
    assert text.startswith("#compdef vit\n")
    assert all(f"{verb}:'{what}'" in text for verb, what in VERBS.items())
    if shutil.which("zsh") is None:
        pytest.skip("this machine has no zsh")
    subprocess.run(["zsh", "-n", str(zsh_script)], check=True)


@pytest.mark.parametrize("words", [["--print-completion"], ["--print-completion", "fish"]])
def test_other_shells(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "expected one of: bash, zsh" in error


def test_the_script_loads_no_torch() -> None:
    code = (
        "import sys; from vit.cli import main; main(['--print-completion', 'bash'])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_as_a_module() -> None:
    one, other = (
        subprocess.run(
            [sys.executable, "-m", *words, "--version"], capture_output=True, text=True, check=True
        )
        for words in (["vit"], ["vit.cli"])
    )
    assert one.stdout == other.stdout
    assert re.fullmatch(r"vit \d+\.\d+\.\d+\S*\n", one.stdout)
