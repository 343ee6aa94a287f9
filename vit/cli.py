"""The command `vit`. Each verb is a module of `vit/commands`, imported only when it is called.

Nothing here, nor in a command outside its `run`, imports torch: `--help` answers at once.
"""

import argparse
import io
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from types import FrameType, ModuleType

from jsonargparse import ArgumentParser

from vit.api.parsing import parse
from vit.config import nearest
from vit.errors import UsageError, VitError, one_line_message

VERBS = {
    "train": "train a transformer on images or texts from one YAML file",
    "evaluate": "measure a model on a dataset it was not trained on",
    "predict": "label folders of images or files of texts, one row each",
    "embed": "turn texts or images into vectors, one row each",
    "attend": "draw what the model attended to",
    "generate": "continue texts, or answer them",
    "export": "write a model as ONNX, pt2 or safetensors for other libraries",
    "serve": "answer requests over HTTP, with a page to try the model on",
    "info": "describe a model",
    "models": "list the models that are available",
    "data": "describe a dataset",
}

PRINT_COMPLETION = "--print-completion"
OPTIONS = ("--help", "--version", PRINT_COMPLETION)  # in the place of a verb

# Signals that end a command with its files closed, and the message; the exit code is 128 and the number.
ENDINGS = {signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # Windows has none
    ENDINGS[signal.SIGHUP] = "hung up: the terminal or the connection was closed"


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code: 0, 1, 2, 3, 129, 130 or 143 (see README)."""
    args = sys.argv[1:] if argv is None else argv
    _print_what_the_console_cannot()
    if not args or args[0] in ("-h", "--help"):
        print(_overview())
        return 0 if args else 2
    if args[0] == "--version":
        print(f"vit {version('vit')}")
        return 0
    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` leaves SIGHUP: it stays ignored
            signal.signal(number, _end)
    try:
        if args[0].partition("=")[0] == PRINT_COMPLETION:
            return _print_completion(args)
        return _run(args[0], args[1:])
    except VitError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except SystemExit as leaving:
        for number, message in ENDINGS.items():
            if leaving.code == 128 + number:
                return _fail(message, 128 + number)
        raise
    except BrokenPipeError:
        # The reader of our output has closed it (`vit info | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("VIT_DEBUG"):
            traceback.print_exc()
        return _fail(_unexpected(error), 1)


def _unexpected(error: Exception) -> str:
    """The message of an unexpected error: of an operating system error the path and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    hint = "" if os.environ.get("VIT_DEBUG") else " (VIT_DEBUG=1 shows where)"
    return f"{type(error).__name__}: {error}{hint}"


def _print_completion(args: list[str]) -> int:
    """Print the script that completes `vit` in a shell, `--print-completion SHELL`."""
    from vit.completion import completion_script

    shell = "=".join(args).partition("=")[2]
    print(completion_script(shell, {verb: (what, _parser(verb)[1]) for verb, what in VERBS.items()}))
    return 0


def _parser(verb: str) -> tuple[ModuleType, ArgumentParser]:
    """The module of a verb, and the parser of its arguments."""
    command = import_module(f"vit.commands.{verb}")
    parser = ArgumentParser(
        prog=f"vit {verb}",
        description=command.description() if hasattr(command, "description") else command.__doc__,
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return command, parser


def _run(verb: str, args: list[str]) -> int:
    if verb not in VERBS:
        raise UsageError(f"unknown verb {verb}{nearest(verb, [*VERBS, *OPTIONS])}")
    command, parser = _parser(verb)
    if hasattr(command, "prepare") and not {"-h", "--help"} & set(args):
        args = command.prepare(args)
    return command.run(parse(parser, args))


def _overview() -> str:
    lines = "\n".join(f"  {verb:10} {what}" for verb, what in VERBS.items())
    return (
        "usage: vit VERB ...\n\n"
        "Train vision transformers, predict folders of images, and see what the model attended to.\n\n"
        f"{lines}\n\n"
        "vit VERB --help says more, with an example; vit --version says which vit this is;\n"
        "vit --print-completion bash (or zsh) prints a script that completes verbs and options.\n\n"
        "example:\n  vit train --config digits && vit predict runs/digits PICTURES --output labels.csv"
    )


def _fail(message: str, code: int) -> int:
    with suppress(OSError):  # the terminal is closed
        print(f"vit: {one_line_message(message)}", file=sys.stderr)
    return code


def _end(signum: int, frame: FrameType | None) -> None:
    """A signal as an exception, so that files are closed on the way out."""
    raise SystemExit(128 + signum)


def _print_what_the_console_cannot() -> None:
    r"""Let a character that the console's encoding lacks be printed as \uXXXX, and not end the command.

    A file's name that is not UTF-8 has such characters (lone surrogates) for every console.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
