"""Errors that the caller can fix: one line with what, where, both values and the way out.

Everything under `vit/` raises one of these for bad input; `vit/cli.py` turns them into an exit code.
"""


class VitError(ValueError):
    """Bad input or a bad state; the command exits with 1."""

    exit_code = 1


class UsageError(VitError):
    """A command line that asks for something that does not exist; the command exits with 2."""

    exit_code = 2


def one_line_message(error: object) -> str:
    """An error's message with runs of white space as one space."""
    return " ".join(str(error).split())
