"""Completion of the command `vit` in a shell, by jsonargparse and shtab. Imports no torch.

    source <(vit --print-completion bash)

A script holds the verbs, their options and the words that these take, as they are when it is printed.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import shtab
from jsonargparse import ArgumentParser

from vit.attribution.roster import METHODS
from vit.config_file import config_folder
from vit.data.roster import FOUND_BY_NAME
from vit.errors import UsageError

SHELLS = ("bash", "zsh")

# Functions of a script. Their names hold `_file`, for which shtab quotes what they offer as names of files.
MODEL, CONFIG, DATA = "_vit_file_or_model", "_vit_file_or_config", "_vit_file_or_data"
FUNCTIONS = {
    "bash": '{name}() {{ compgen -W "{words}" -- "$1"; compgen -f -- "$1"; }}',
    "zsh": "{name}() {{ _alternative 'words:word:({words})' 'files:file:_files'; }}",
}
# What an argument takes, by the name of its value or its own, where its type does not say it.
TAKES = {
    "MODEL": MODEL,
    "model.init": MODEL,
    "config": CONFIG,
    "trainer.on_cpu": CONFIG,
    "NAME_OR_PATH": DATA,
    "path": DATA,
}
PATHS = ("data.root",)


def completion_script(shell: str, verbs: Mapping[str, tuple[str, ArgumentParser]]) -> str:
    """The script that a shell reads to complete `vit`.

    Args:
        shell: One of `SHELLS`.
        verbs: What each verb does, and its parser, which is not to be used for anything else afterwards.

    Raises:
        UsageError: Another shell.
    """
    if shell not in SHELLS:
        raise UsageError(f"--print-completion is {shell!r}, expected one of: {', '.join(SHELLS)}")
    root = ArgumentParser(prog="vit")
    root.add_argument("--version", action="store_true", help="print which vit this is")
    root.add_argument("--print-completion", choices=SHELLS, help="print a script that completes vit")
    subcommands = root.add_subcommands()
    for verb, (what, parser) in verbs.items():
        parser.description = what
        for action in parser._actions:
            _offer(action, shell)
        subcommands.add_subcommand(verb, parser, help=what)
    words = {MODEL: _models(), CONFIG: _configs(), DATA: FOUND_BY_NAME}
    functions = [FUNCTIONS[shell].format(name=name, words=" ".join(words[name])) for name in words]
    return root.get_completion_script(f"shtab-{shell}", preambles=functions)


def _models() -> list[str]:
    """The models that have a name."""
    shipped = (Path(__file__).parent / "pretrained").glob("*/config.json")
    return [*sorted(file.parent.name for file in shipped), "minilm"]


def _configs() -> list[str]:
    """The shipped configs."""
    return sorted(file.stem for file in config_folder().glob("*.yaml"))


def _offer(action: argparse.Action, shell: str) -> None:
    """Say what an argument's values are, where jsonargparse does not know it."""
    value = action.metavar if isinstance(action.metavar, str) else ""
    is_plain = isinstance(action, (argparse._StoreAction, argparse._AppendAction))  # typed ones are others
    if function := TAKES.get(value) or TAKES.get(action.dest):
        action.complete = {shell: function}  # type: ignore[attr-defined]
    elif action.choices is not None:
        return
    elif action.dest == "method":
        action.choices = tuple(METHODS)
    elif value.startswith("{"):  # the names of a roster, see `add_config_arguments`
        action.choices = value.strip("{}").split(",")
    elif is_plain or action.dest in PATHS:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
