"""Decoding in processes of their own, within limits: a file that hangs or kills its decoder stays alone."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
from pebble import ProcessExpired, ProcessPool

from vit.data.decode import DecodeError
from vit.data.preprocess import Preprocess
from vit.inputs.archives import read_member
from vit.inputs.files import Entry
from vit.inputs.processes import PROCESSES


class Limits(NamedTuple):
    """What one file may take.

    Args:
        seconds: To be read and decoded.
        memory: Bytes beyond what its process has before it begins; kept on Linux alone.
    """

    seconds: float = 30.0
    memory: int = 2 * 2**30


USUAL = Limits()


class Decoder:
    """Hands files to processes and takes their pixels.

    Args:
        pool: The processes.
        preprocess: The model's.
        limits: Of each file.
    """

    def __init__(self, pool: ProcessPool, preprocess: Preprocess, limits: Limits):
        self.pool, self.preprocess, self.limits = pool, preprocess, limits

    def submit(self, entry: Entry) -> Future[np.ndarray]:
        """Begin to decode a file; `result` waits for it."""
        return self.pool.schedule(_decoded, (entry, self.preprocess, self.limits.seconds))

    def result(self, entry: Entry, future: Future[np.ndarray]) -> np.ndarray:
        """What the model sees of a file: uint8, (height, width) or (height, width, 3).

        Raises:
            DecodeError: It cannot be decoded, or not within its limits.
        """
        try:
            return future.result()
        except DecodeError as error:
            raise DecodeError(entry.name, error.status, error.detail) from None
        except ProcessExpired as ended:
            if ended.exitcode == -signal.SIGALRM:
                told = f"not decoded after {self.limits.seconds:g} s"
                raise DecodeError(entry.name, "timeout", told) from None
            raise DecodeError(entry.name, "crashed", f"its decoder {_ending(ended.exitcode)}") from None


@contextmanager
def decoder(preprocess: Preprocess, limits: Limits = USUAL) -> Iterator[Decoder]:
    """Processes for the time of a `with` block, one for each core; one that dies is replaced."""
    workers = max(os.cpu_count() or 1, 2)
    pool = ProcessPool(workers, initializer=_prepare, initargs=(limits.memory,), context=PROCESSES)
    try:
        yield Decoder(pool, preprocess, limits)
    finally:
        pool.stop()
        pool.join()


def _prepare(memory: int) -> None:
    """Limit this process, leave Ctrl-C to the one that reads from it, and silence C libraries."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # libtiff and others write where they please; the row says what matters
    os.close(nowhere)
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm") as stream:
            held = int(stream.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        allowed = held + memory if most == resource.RLIM_INFINITY else min(held + memory, most)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (allowed, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _decoded(entry: Entry, preprocess: Preprocess, seconds: float) -> np.ndarray:
    if entry.trouble is not None:
        raise DecodeError(entry.name, *entry.trouble)
    # The alarm ends this process, and whoever waits learns why. It rings even if nobody waits any more.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        source = entry.path if entry.member is None else read_member(entry.path, entry.member, entry.name)
        return np.asarray(preprocess.read(source))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
