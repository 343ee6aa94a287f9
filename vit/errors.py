"""The errors a person can mend: one line that says what, where, both values and the way out.

Everything under `vit/` raises one of these for bad input; `vit/cli.py` turns them into an exit code.
"""


class VitError(ValueError):
    """Bad input or a bad state, told in one line; the command exits with 1."""

    exit_code = 1


class UsageError(VitError):
    """The command was asked for something that does not exist; it exits with 2."""

    exit_code = 2
