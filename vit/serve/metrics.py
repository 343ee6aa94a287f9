"""What Prometheus reads at `/metrics`: requests, their time, batches, what waits."""

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vit_requests",
            "Requests, by path and status of the answer",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "vit_request_seconds",
            "From the headers to the answer",
            ["path"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self.inputs = Counter(
            "vit_inputs", "Pictures or texts, by route and status", ["path", "status"], registry=self.registry
        )
        self.batches = Histogram(
            "vit_batch_size",
            "Inputs in one pass of the model",
            ["kind"],
            registry=self.registry,
            buckets=SIZES,
        )
        self.waiting = Gauge("vit_inputs_waiting", "Inputs taken and not answered", registry=self.registry)

    def on_batch(self, kind: str, size: int) -> None:
        """Count a batch."""
        self.batches.labels(kind).observe(size)

    def watch_waiting(self, count: Callable[[], float]) -> None:
        """Read the number of waiting inputs from a function."""
        self.waiting.set_function(count)

    def text(self) -> bytes:
        """All figures in Prometheus' format."""
        return generate_latest(self.registry)


class Counted:
    """Counts the requests of an app, those that are refused too. Pure ASGI.

    Args:
        app: Answers them.
        metrics: The server's.
        paths: That are counted by name; all others are `other`, because a client may ask for any.
        root_path: That a proxy may have left before them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str], root_path: str = ""):
        self.app, self.metrics, self.paths, self.root_path = app, metrics, paths, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self.root_path)
        path = path if path in self.paths else "other"
        status, began = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)
