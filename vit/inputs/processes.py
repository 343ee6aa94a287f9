"""How decoding processes are started. Imports no torch, so that a command can call `warm_up` first.

A process of `multiprocessing` that is not forked imports the script of its parent: a script without the
guard `if __name__ == "__main__"` would run again in every decoder. Decoders need nothing of it, so it is left
out of what they are told of their parent.
"""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.context import BaseContext
from typing import Any

from vit.errors import VitError

# Forkserver where the platform has it, else spawn: a child inherits no threads and no locks.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

_context: Any = multiprocessing.get_context(METHOD)
_describing = threading.Lock()


class DecodingProcess(_context.Process):
    """A process that does not import the script of its parent."""

    def start(self) -> None:
        """Begin.

        Raises:
            VitError: This process may have no children.
        """
        if multiprocessing.current_process().daemon:
            raise VitError(
                "files are decoded in processes of their own, and this process, of a multiprocessing.Pool or "
                "a DataLoader, may start none: use concurrent.futures.ProcessPoolExecutor, or pass arrays"
            )
        super().start()

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _without_script():
            return _context.Process._Popen(process_obj)


class DecodingContext(type(_context)):  # type: ignore[misc]
    """What starts `DecodingProcess`."""

    Process = DecodingProcess


def process_context() -> BaseContext:
    """The context of `multiprocessing` with which decoders are started.

    The forkserver imports the decoding module once, and each process then starts in milliseconds.
    """
    if METHOD == "forkserver":
        _context.set_forkserver_preload(["vit.inputs.decoding"])
    return DecodingContext()


def warm_up() -> None:
    """Start the forkserver, which imports its modules while this process loads a model."""
    if process_context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


@contextmanager
def _without_script() -> Iterator[None]:
    """Leave the script out of what a process that this thread starts is told of its parent.

    `multiprocessing` has no argument for it. What other threads start meanwhile is told all.
    """
    thread = threading.get_ident()
    with _describing:
        described = spawn.get_preparation_data

        def without_script(name: str) -> dict[str, Any]:
            data = described(name)
            if threading.get_ident() != thread:
                return data
            return {key: value for key, value in data.items() if not key.startswith("init_main_from_")}

        spawn.get_preparation_data = without_script
        try:
            yield
        finally:
            spawn.get_preparation_data = described
