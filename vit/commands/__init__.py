"""The verbs of the command line, a module each.

Each has `add_arguments(parser)`, which imports no torch, `run(arguments) -> exit code`, which may, and a
docstring that `vit VERB --help` shows.
"""
