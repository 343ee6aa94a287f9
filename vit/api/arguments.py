"""The arguments of `vit train`, as words: for the command, and for `vit.train`. Imports no torch."""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.api.parsing import parse
from vit.config import Config, nearest
from vit.config_file import RENAMED, add_config_arguments, resolve_config, usual_config
from vit.errors import UsageError
from vit.recipes.checks import CHOICES

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_train_arguments(parser: "ArgumentParser") -> None:
    """Add the run's folder and the config's fields to a parser."""
    parser.add_argument("--name", help="the run's folder is runs/NAME (default: the config's name)")
    parser.add_argument("--resume", action="store_true", help="continue the run of that name")
    parser.add_argument("--overwrite", action="store_true", help="replace the run of that name")
    add_config_arguments(parser, CHOICES)


def with_config(argv: list[str]) -> list[str]:
    """The words with `--config` first, as a file; with `--resume` it is the one in the run folder.

    Raises:
        UsageError: There is no such config, or it has a key that does not exist.
    """
    if "--resume" not in argv:
        return resolve_config(argv)
    from vit.training.run_folder import RunFolder

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name")
    parser.add_argument("--config", default=usual_config(argv))
    known, options = parser.parse_known_args(argv)
    name = known.name or Path(known.config).stem
    stored = RunFolder.named(name).config_to_resume
    # The run may have begun with a shipped config and options; its own config holds both.
    config = stored if stored.is_file() and not Path(known.config).is_file() else known.config
    return [*resolve_config([f"--config={config}", *options]), "--name", name]


def parsed(
    config: str | os.PathLike[str] | None,
    overrides: Mapping[str, Any],
    name: str | None,
    *,
    resume: bool,
    overwrite: bool,
) -> "Namespace":
    """What the command would have parsed, from the arguments of `vit.train`.

    Raises:
        UsageError: As the command; an unknown key names the nearest one.
    """
    from jsonargparse import ArgumentParser

    words = [] if config is None else [f"--config={os.fspath(config)}"]
    words += [f"--{_known(key)}={_spelt(value)}" for key, value in overrides.items()]
    words += [] if name is None else [f"--name={name}"]
    words += ["--resume"] * resume + ["--overwrite"] * overwrite
    parser = ArgumentParser(prog="vit train", exit_on_error=False, allow_abbrev=False)
    add_train_arguments(parser)
    return parse(parser, with_config(words))


def _known(key: str) -> str:
    """A key of the config.

    Raises:
        UsageError: It is none.
    """
    keys = [*RENAMED, "seed"]
    for section in fields(Config):
        default = getattr(Config(), section.name)
        if is_dataclass(default):
            keys += [f"{section.name}.{field.name}" for field in fields(default)]
    if key not in keys:
        raise UsageError(f"unknown option --{key}{nearest(f'--{key}', [f'--{known}' for known in keys])}")
    return key


def _spelt(value: Any) -> str:
    """A value as the command line spells it."""
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        raise UsageError(f"a value is {value!r}, expected a text, a number, a list or None") from None
