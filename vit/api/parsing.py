"""From words to arguments, with messages that say what was expected: for the command, and for `vit.train`."""

import re
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from vit.config import nearest
from vit.errors import UsageError

# jsonargparse's message about a value of another type, and what these types are called here.
REFUSED = re.compile(r'^Parser key "(?P<key>.+?)":.*(?:Got|Given) value:(?P<value>.*)', re.DOTALL)
KINDS = {
    int: ["a whole number"],
    float: ["a number"],
    str: ["a text"],
    bool: ["true", "false"],
    NoneType: ["null"],
}

# Options of `vit train` for a file of weights, and the way out where another verb is given one.
OF_WEIGHTS = ("--model.like", "--model.key")
FILES_OF_WEIGHTS = "a file of weights becomes a model by vit.load_model(FILE, like=...).save(FOLDER)"


def parse(parser: ArgumentParser, args: list[str]) -> Namespace:
    """The arguments that words stand for.

    Args:
        parser: Of a verb; it raises errors.
        args: The words after the verb.

    Raises:
        UsageError: An option does not exist, or a value is of another type: one line with the way out.
    """
    _refuse_parts(parser, args)
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        raise UsageError(_explain(parser, args, error)) from None


def _refuse_parts(parser: ArgumentParser, args: list[str]) -> None:
    """Refuse `--NAME.x` where NAME is an argument without parts: jsonargparse would take it for NAME itself.

    Raises:
        UsageError: There is one.
    """
    known = _options(parser)
    names = {action.dest for action in parser._actions}
    for arg in args[: args.index("--") if "--" in args else None]:
        option = arg.partition("=")[0]
        parts = option.removeprefix("--").replace("-", "_").split(".")
        parents = {".".join(parts[:end]) for end in range(1, len(parts))}
        # `+` after an option appends to its list.
        if option.startswith("--") and option.rstrip("+") not in known and parents & names:
            raise UsageError(_unknown(option, known))


def _options(parser: ArgumentParser) -> list[str]:
    return sorted(option for action in parser._actions for option in action.option_strings)


def _unknown(option: str, known: list[str]) -> str:
    """The message about an option that a verb does not have."""
    if option in OF_WEIGHTS:
        return f"unknown option {option}: {FILES_OF_WEIGHTS}"
    return f"unknown option {option}{nearest(option, known)}"


def _explain(parser: ArgumentParser, args: list[str], error: Exception) -> str:
    """What is wrong with the arguments: an unknown option and the nearest one, or argparse's message."""
    known = _options(parser)
    for arg in args:
        option = arg.partition("=")[0]
        if option.startswith("--") and len(option) > 2 and option not in known:
            return _unknown(option, known)
    message = str(error)
    if refused := REFUSED.search(message):
        return _refused(parser, args, refused["key"], refused["value"].strip())
    head, required, names = message.partition("are required: ")
    if required:  # argparse gives their bare names
        options = {
            action.dest: action.option_strings[-1] for action in parser._actions if action.option_strings
        }
        message = head + required + ", ".join(options.get(name, name) for name in names.split(", "))
    return f"{message} (see {parser.prog} --help)"


def _refused(parser: ArgumentParser, args: list[str], key: str, value: str) -> str:
    """The message about a value of another type than the argument's, which may stand in a config file."""
    action = next((action for action in parser._actions if action.dest == key), None)
    given = {arg.partition("=")[0] for arg in args}
    name = next((option for option in action.option_strings if option in given), key) if action else key
    expected = _kinds(getattr(action, "_typehint", None))
    listed = " or ".join(filter(None, (", ".join(expected[:-1]), *expected[-1:])))
    return f"{name} is {value or 'empty'}, expected {listed or 'another value'} (see {parser.prog} --help)"


def _kinds(hint: Any) -> list[str]:
    """The values that a type takes, in words."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return [str(option) for option in options]
    if get_origin(hint) is tuple:
        return [f"[{', '.join('...' if each is Ellipsis else _kinds(each)[0] for each in options)}]"]
    if options:  # of a union
        return [kind for option in options for kind in _kinds(option)]
    return KINDS.get(hint, [])
