"""Where decoding processes come from. Imports no torch, so that a command can begin with it."""

import multiprocessing
from multiprocessing import forkserver

# Of a process that did not come from a fork nothing is inherited but what it imports: no thread, no lock.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["vit.inputs.decoding"])  # once; each process then starts in milliseconds


def warm_up() -> None:
    """Let the server import what it needs beside this process, which has a model to load."""
    forkserver.ensure_running()
