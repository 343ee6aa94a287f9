"""Decoding in separate processes, with limits: a file that hangs or crashes its decoder affects no other."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool
from PIL import Image

from vit.cores import available_cores
from vit.data.decode import DecodeError
from vit.data.preprocess import Preprocess, levels
from vit.inputs.archives import read_member
from vit.inputs.files import Entry
from vit.inputs.processes import process_context
from vit.inputs.shown import Shown, shown

Result = TypeVar("Result")
HAS_ALARM = hasattr(signal, "setitimer")  # not on Windows


class Limits(NamedTuple):
    """What the decoding of one file may take.

    Args:
        seconds: To read and decode it; no limit on Windows.
        memory: Bytes in addition to what its process has at the start; no limit except on Linux.
    """

    seconds: float = 30.0
    memory: int = 2 * 2**30


DEFAULT_LIMITS = Limits()


class Content(NamedTuple):
    """A file that has been read, such as the body of a request.

    Args:
        name: In its row; a format may be known by its suffix.
        content: The bytes.
    """

    name: str
    content: bytes


class Decoder:
    """Sends files to processes and receives their pixels.

    Args:
        pool: The processes.
        preprocess: The model's.
        limits: Limits for each file.
    """

    def __init__(self, pool: ProcessPool, preprocess: Preprocess, limits: Limits):
        self.pool, self.preprocess, self.limits = pool, preprocess, limits

    def submit(self, entry: Entry | Content) -> Future[np.ndarray]:
        """Begin to decode a file; `result` waits for it."""
        return self.pool.schedule(_decode, (entry, self.preprocess, self.limits.seconds))

    def submit_shown(self, entry: Entry | Content, side: int) -> Future[tuple[np.ndarray, Shown]]:
        """The same with the whole picture for display, at most `side` pixels wide and high."""
        return self.pool.schedule(_decode_shown, (entry, self.preprocess, self.limits.seconds, side))

    def result(self, entry: Entry | Content, future: Future[Result]) -> Result:
        """The pixels that the model sees: uint8 (C, height, width); of `submit_shown`, also the picture.

        Raises:
            DecodeError: It cannot be decoded, or not within its limits.
        """
        try:
            return future.result()
        except DecodeError as error:
            raise DecodeError(entry.name, error.status, error.detail) from None
        except ProcessExpired as expired:
            if HAS_ALARM and expired.exitcode == -signal.SIGALRM:
                detail = f"not decoded after {self.limits.seconds:g} s"
                raise DecodeError(entry.name, "timeout", detail) from None
            raise DecodeError(
                entry.name, "crashed", f"its decoder {_exit_reason(expired.exitcode)}"
            ) from None


@contextmanager
def decoder(preprocess: Preprocess, limits: Limits = DEFAULT_LIMITS) -> Iterator[Decoder]:
    """Processes during a `with` block, one for each core that is free to use; one that dies is replaced.

    Args:
        preprocess: The model's.
        limits: Limits for each file.
    """
    workers = max(available_cores(), 2)
    pool = ProcessPool(
        workers, initializer=_prepare_process, initargs=(limits.memory,), context=process_context()
    )
    try:
        yield Decoder(pool, preprocess, limits)
    finally:
        pool.stop()
        pool.join()


def _prepare_process(memory: int) -> None:
    """Limit this process's memory, ignore Ctrl-C, which the parent handles, and silence C libraries."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libtiff and others print to stderr; the row has what matters
    os.close(null)
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm") as stream:
            used = int(stream.read().split()[0]) * resource.getpagesize()
        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        limit = used + memory if hard_limit == resource.RLIM_INFINITY else min(used + memory, hard_limit)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _decode(entry: Entry | Content, preprocess: Preprocess, seconds: float) -> np.ndarray:
    with _open(entry, preprocess, seconds) as image:
        return levels(preprocess.window(image)).numpy()


def _decode_shown(
    entry: Entry | Content, preprocess: Preprocess, seconds: float, side: int
) -> tuple[np.ndarray, Shown]:
    with _open(entry, preprocess, seconds) as image:
        return levels(preprocess.window(image)).numpy(), shown(image, side)


@contextmanager
def _open(entry: Entry | Content, preprocess: Preprocess, seconds: float) -> Iterator[Image.Image]:
    """A picture of which everything is computed within the limit of time."""
    if isinstance(entry, Entry) and entry.failure is not None:
        raise DecodeError(entry.name, *entry.failure)
    # The signal ends this process, and `Decoder.result` raises what that means.
    if HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield preprocess.open(_source(entry))
    except MemoryError:
        raise DecodeError(entry.name, "too_large", "it takes more memory than is allowed") from None
    finally:
        if HAS_ALARM:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _source(entry: Entry | Content) -> Path | BinaryIO:
    if isinstance(entry, Content):
        file = io.BytesIO(entry.content)
    elif entry.member is None:
        return entry.path
    else:
        file = io.BytesIO(read_member(entry.path, entry.member, entry.name))
    file.name = entry.name  # a format may be known by its suffix
    return file


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
