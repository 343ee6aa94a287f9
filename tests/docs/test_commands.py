"""Every command of the documentation is one that exists, and those of the first pages run."""

import re
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from vit.cli import VERBS, main

from .commands import FENCE, PAGES, ROOT, Command, commands, forms
from .public import private_names

ALL = {str(command): command for page in PAGES for command in commands(page)}
OF_VIT = {name: command for name, command in ALL.items() if command.vit is not None}
FORMS = sorted({(page.name, form) for page in PAGES for form in forms(page)})
PYTHON = [
    (page, match[3])
    for page in PAGES
    if page.name != "extending.md"  # tests/test_extending.py
    for match in FENCE.finditer(page.read_text(encoding="utf-8"))
    if match[2] == "python"
]


@pytest.fixture(scope="module")
def helps() -> Callable[[str], str]:
    """The help of a verb, made once."""
    made: dict[str, str] = {}

    def of(verb: str) -> str:
        if verb not in made:
            from jsonargparse import ArgumentParser

            parser = ArgumentParser(prog=f"vit {verb}")
            import_module(f"vit.commands.{verb}").add_arguments(parser)
            made[verb] = parser.format_help()
        return made[verb]

    return of


@pytest.mark.parametrize("command", OF_VIT.values(), ids=OF_VIT.keys())
def test_the_parser_takes_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command is refused only where the page shows the message."""
    words = command.vit
    assert words is not None
    if words and words[0] in VERBS:
        monkeypatch.setattr(f"vit.commands.{words[0]}.run", lambda arguments: 0)
    monkeypatch.chdir(tmp_path)
    code = main(words)
    said = capsys.readouterr().err.strip()
    assert code == 0 or said in (ROOT / command.page).read_text(encoding="utf-8"), said


@pytest.mark.parametrize(("page", "form"), FORMS)
def test_a_form_has_options_that_exist(page: str, form: str, helps: Callable[[str], str]) -> None:
    words = re.split(r"[\s\[\]]+", form.partition(" # ")[0])
    command = Command(page, tuple(word.strip("'\"") for word in words if word))
    if command.vit is None:
        check_other(command)
        return
    verb, *rest = command.vit
    if verb not in ("...", "VERB", "--help", "--version", "--print-completion"):
        assert verb in VERBS
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= {"--help", *re.findall(r"--[\w.-]+", helps(verb))}


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if command.vit is None])
def test_what_is_no_verb_exists(name: str) -> None:
    check_other(ALL[name])


def check_other(command: Command) -> None:
    """A script, a target of make, a test, an extra: what the words name is there."""
    program, *rest = command.words
    checks = {"python": _python, "make": _make, "pip": _pip, "pytest": _pytest, ".venv/bin/pytest": _pytest}
    if program in checks:
        checks[program](rest)


def _python(words: list[str]) -> None:
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert words[1] in ("pytest", "vit", "http.server") or module.with_suffix(".py").is_file()
        return
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    own = words[: words.index("--")] if "--" in words else words
    assert all(f'"{word.partition("=")[0]}"' in source for word in own if word.startswith("--"))


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(words) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def _pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"^(?:\.|vit)\[(.+)\]$", words[-1])
    assert {extra for extras in named for extra in extras.split(",")} <= set(project["optional-dependencies"])


def _pytest(words: list[str]) -> None:
    paths = [ROOT / word for word in words if word.startswith("tests/")]
    assert all(path.exists() for path in paths)
    if "-k" in words:
        tests = re.findall(r"def (test_\w+)", "".join(path.read_text(encoding="utf-8") for path in paths))
        assert any(words[words.index("-k") + 1] in name for name in tests)


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
    assert set(project["optional-dependencies"]) <= set(re.findall(r"`([\w-]+)`", " ".join(first_cells)))


def test_there_are_commands() -> None:
    assert len(OF_VIT) > 60
    assert len(ALL) > len(OF_VIT) + 20
    assert len(FORMS) > 80


@pytest.mark.parametrize(("page", "source"), PYTHON, ids=[page.name for page, _ in PYTHON])
def test_python_uses_public_names(page: Path, source: str) -> None:
    assert private_names(source) == []
