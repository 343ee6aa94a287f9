"""Servers for tests: in this process for what they answer, in one of their own for sockets and signals."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'vit[serve]'")

from starlette.testclient import TestClient  # noqa: E402

from vit.serve.app import make_app  # noqa: E402
from vit.serve.settings import Settings  # noqa: E402

HOST = "http://127.0.0.1:8000"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (53, 41), **options: Any) -> bytes:
    """The bytes of a picture of smooth noise, another one for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, kind, **options)
    return file.getvalue()


def files(*contents: bytes | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """The fields of a form, as the client takes them."""
    named = [item if isinstance(item, tuple) else (f"{i}.png", item) for i, item in enumerate(contents)]
    return [("files", item) for item in named]


@contextmanager
def client_of(model: Any, **settings: Any) -> Iterator[TestClient]:
    """A server of a model in this process; an unexpected error of it is an answer, as it is to clients."""
    app = make_app(model, Settings(**{"name": "small", **settings}))
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        yield client


class Server(NamedTuple):
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """The most bytes that its process has had in memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

    def end(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def starting() -> Iterator[Callable[..., Server]]:
    """A function that starts `vit serve WORD ... --port 0` and waits until it answers."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-m", "vit.cli", "serve", *words, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        assert process.stdout is not None
        told = process.stdout.readline()
        assert " at http://" in told, f"it did not start: {told!r}"
        return Server(process, int(told.rstrip("/\n").rpartition(":")[2]))

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
