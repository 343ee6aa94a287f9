"""Reading and writing of `Config`: YAML files, command line options, a run's config. Imports no torch."""

import json
from argparse import ArgumentError
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from vit.config import USUAL_LENGTH, Config, nearest
from vit.errors import UsageError, one_line_message

# Keys of earlier versions, and what they are now.
RENAMED = {"text.start": "model.init"}


def config_folder() -> Path:
    """The folder of the shipped configs: inside the installed package, or next to it in a checkout."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def _find(name: str) -> Path:
    """A path, or the name of a shipped config.

    Raises:
        UsageError: It is neither; the nearest shipped name is given.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(config_folder().glob("*.yaml"))}
    if name in shipped:
        return shipped[name]
    raise UsageError(f"--config {name}: no such file or shipped config{nearest(name, list(shipped))}")


class _ConfigFile(ActionConfigFile):
    """The option `--config`, which reads a file as `_read` does."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        # jsonargparse takes the content in place of a path; in JSON a text cannot be mistaken for a number.
        self.apply_config(
            parser, cfg, self.dest, json.dumps(_read(Path(values)), ensure_ascii=False, default=str)
        )
        cfg[self.dest] = [values]


def add_config_arguments(parser: ArgumentParser, choices: Mapping[str, Iterable[str]]) -> None:
    """Add `--config` and an option for every field of `Config`.

    Args:
        parser: Gets the options.
        choices: Keys whose values are the names of a roster, with these names; for `--help` alone.
    """
    parser.add_argument("--config", action=_ConfigFile, help="a YAML file or a shipped config's name")
    parser.add_class_arguments(Config)
    for action in parser._actions:
        if action.dest in choices:
            action.metavar = f"{{{','.join(choices[action.dest])}}}"


def resolve_config(argv: list[str]) -> list[str]:
    """Put `--config` first, as the path of a file that has been checked, so that every option overrides it.

    Args:
        argv: The arguments after the verb. Without `--config` it is `cifar10`; with `--model.init` it is
            `finetune`, and with `--model.freeze`, too, `probe`.

    Raises:
        UsageError: No such config, more than one, or a key in it that does not exist.
    """
    options, configs = [], []
    arguments = iter(argv)
    for argument in arguments:
        argument = _current_option(argument)
        if argument == "--config":
            configs.append(next(arguments, ""))
        elif argument.startswith("--config="):
            configs.append(argument.removeprefix("--config="))
        else:
            options.append(argument)
    if len(configs) > 1:
        raise UsageError(f"--config is given {len(configs)} times, expected once")
    file = _find(configs[0] if configs else usual_config(options))
    _read(file)
    return [f"--config={file}", *options]


def _current_option(argument: str) -> str:
    """An option under the name that it has now."""
    name, equals, value = argument.partition("=")
    new = RENAMED.get(name.removeprefix("--"))
    return f"--{new}{equals}{value}" if new and name.startswith("--") else argument


def usual_config(options: list[str]) -> str:
    """The shipped config that is taken where none is named, as in `resolve_config`."""
    given = {option.partition("=")[0] for option in options}
    if "--model.init" not in given:
        return "cifar10"
    return "probe" if "--model.freeze" in given else "finetune"


def _read(file: Path) -> dict[str, Any]:
    """The content of a config file. A text is what is written: YAML takes 123, no and 10:00:00:00 for others.

    Raises:
        UsageError: A key that does not exist, or a value that is not plain, before objects are made of them.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content, written = yaml.safe_load(text), yaml.load(text, yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read: {one_line_message(error)}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{file} holds {type(content).__name__}, expected sections such as data and model")
    _rename_keys(file, content, written)
    sections: dict[str, Any] = {field.name: field.default_factory for field in fields(Config)}
    for key, value in content.items():
        if key not in sections:
            raise UsageError(f"{file}: unknown key {key}{nearest(str(key), list(sections))}")
        if sections[key] is MISSING:
            continue
        if not isinstance(value, dict):
            raise UsageError(f"{file}: {key} is {value!r}, expected a section with keys of its own")
        _check_section(file, key, value, get_type_hints(sections[key]))
        for name, kind in get_type_hints(sections[key]).items():
            if value.get(name) is not None and _is_text(kind):
                value[name] = written[key].get(name, value[name])
    return content


def _rename_keys(file: Path, content: dict[str, Any], written: dict[str, Any]) -> None:
    """Give keys of an earlier version the names that they have now.

    Raises:
        UsageError: The new name is there as well, with another value.
    """
    for old, new in RENAMED.items():
        (old_section, old_name), (section, name) = old.split("."), new.split(".")
        for values in (content, written):
            before, now = values.get(old_section), values.setdefault(section, {})
            if not isinstance(before, dict) or not isinstance(now, dict) or old_name not in before:
                continue
            value = before.pop(old_name)
            if value is None or (values is written and name in now):
                continue
            if now.get(name) not in (None, value):
                raise UsageError(
                    f"{file}: {old} is {value}, and {new}, its name now, is {now[name]}: keep {new} alone"
                )
            now[name] = value
            if isinstance(data := values.get("data"), dict):  # of texts, to which it does not apply
                data.pop("resize", None)


def _check_section(file: Path, key: str, section: dict[str, Any], names: Iterable[str]) -> None:
    """Refuse keys of a section that do not exist, and values that are not plain."""
    known = [f"{key}.{name}" for name in names]
    for name, entry in section.items():
        if isinstance(entry, dict) or (isinstance(entry, str) and "${" in entry):
            raise UsageError(
                f"{file}: {key}.{name} is {entry!r}, expected a plain value: nothing is substituted"
            )
        if f"{key}.{name}" not in known:
            raise UsageError(f"{file}: unknown key {key}.{name}{nearest(f'{key}.{name}', known)}")


def _is_text(kind: Any) -> bool:
    """Whether a type holds texts alone, or lists of them."""
    if kind in (str, NoneType, Ellipsis) or isinstance(kind, str):  # a string: an option of a Literal
        return True
    return bool(get_args(kind)) and all(map(_is_text, get_args(kind)))


def to_yaml(config: Config) -> str:
    """The whole config as YAML that runs again."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def _plain(value: Any) -> Any:
    """Tuples become lists: YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return list(value) if isinstance(value, tuple) else value


def to_config(arguments: Namespace) -> Config:
    """The parsed arguments as a `Config`."""
    sections = {
        field.name: field.default_factory(**vars(arguments[field.name]))
        for field in fields(Config)
        if field.default_factory is not MISSING
    }
    return Config(seed=arguments.seed, **sections)


def stored_config(file: Path) -> Config:
    """The config that a run has written to its folder.

    Raises:
        UsageError: It has unknown keys, or values of the wrong type.
    """
    content = _read(file)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config)
    try:
        return to_config(parser.parse_object(content))
    except (ArgumentError, TypeError) as error:
        raise UsageError(f"{file}: {one_line_message(error)}") from None


# Keys of `trainer` that may change when a run is resumed.
OPEN_TO_CHANGE = (
    "max_epochs", "max_time", "patience", "accelerator", "devices", "num_nodes", "save_every", "progress",
    "logger", "overlays", "overlay_method", "compile", "on_cpu",
)  # fmt: skip


def first_difference(file: Path, config: Config) -> str | None:
    """The first key in which a stored config and this one differ, as one line; None if there is none.

    The keys of `OPEN_TO_CHANGE` are not compared.
    """
    stored = asdict(stored_config(file))
    current = asdict(config)
    for values in (stored, current):
        if values["model"]["init"] is None:  # in earlier versions the default was written out
            values["data"]["resize"] = values["data"]["resize"] or "crop"
        values["text"]["length"] = values["text"]["length"] or USUAL_LENGTH  # likewise
    for name in OPEN_TO_CHANGE:
        current["trainer"][name] = stored["trainer"][name]
    for key, now in current.items():
        before = stored[key]
        if before == now:
            continue
        if not isinstance(now, dict):
            return f"{key} is {now}, and was {before} in {file}"
        name = next(name for name, value in now.items() if before[name] != value)
        return f"{key}.{name} is {now[name]}, and was {before[name]} in {file}"
    return None
