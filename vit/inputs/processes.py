"""How decoding processes are started. Imports no torch, so that a command can call `warm_up` first."""

import multiprocessing
from multiprocessing.context import BaseContext


def process_context() -> BaseContext:
    """Forkserver where the platform has it, else spawn: a child inherits no threads and no locks.

    The forkserver imports the decoding module once, and each process then starts in milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vit.inputs.decoding"])
    return context


def warm_up() -> None:
    """Start the forkserver, which imports its modules while this process loads a model."""
    if process_context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()
