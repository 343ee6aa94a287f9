"""What comes before any route sees a request, for every method and every path. Pure ASGI."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vit.serve.errors import Refusal, overloaded
from vit.serve.hosts import check_host
from vit.serve.settings import MIB, Settings

# What a browser needs before it can ask for the token, and what watches the server.
OPEN_PATHS = {"/", "/app.js", "/style.css", "/health/live", "/health/ready"}
LAST_BODY = 1.0  # seconds for a body that is not complete when the server ends
LINGER = 10.0  # seconds for which a body that was refused is still read and dropped
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Bodies:
    """The bodies that are being read and held, of all requests of a server."""

    def __init__(self) -> None:
        self.held = 0  # bytes
        self.is_ending = False
        self._limits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """At most some seconds for an `async with` block, and few once the server ends."""
        async with asyncio.timeout(LAST_BODY if self.is_ending else seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def end(self) -> None:
        """Wait no longer for bodies that are not there yet."""
        self.is_ending = True
        soon = asyncio.get_running_loop().time() + LAST_BODY
        for limit in self._limits:
            with suppress(RuntimeError):  # it has just run out
                limit.reschedule(min(soon, limit.when() or soon))


class Guard:
    """Checks host, origin and token, and reads the body within its limits; the rest is the app's.

    Args:
        app: Gets requests with complete bodies.
        settings: The server's.
        bodies: The server's.
    """

    def __init__(self, app: ASGIApp, settings: Settings, bodies: Bodies):
        self.app, self.settings, self.bodies = app, settings, bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the app answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        if scope["type"] != "http":  # a websocket: there is none here
            return
        send, headers, body = _with_headers(send), _decoded(scope), _Body()
        try:
            self._check(scope, headers)
            await self._read(body, headers, receive)
            if not body.disconnected:
                # Routes are found with the prefix of a proxy and without it, and the description names it.
                placed = {**scope, "root_path": self.settings.root_path}
                await self.app(placed, body.replay(receive), send)
        except Refusal as refusal:
            await _refuse(refusal, headers, body, receive, send)
        finally:
            self.bodies.held -= body.size

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        local = (scope.get("server") or (None,))[0]
        check_host(headers, local, self.settings)
        path = scope["path"].removeprefix(self.settings.root_path)
        if self.settings.token is not None and path not in OPEN_PATHS:
            check_token(headers.get("authorization", ""), self.settings.token)

    async def _read(self, body: "_Body", headers: Mapping[str, str], receive: Receive) -> None:
        """The whole body, in memory, so that a slow client holds neither a queue's place nor a thread.

        Raises:
            Refusal: 413, 408, or 503 where all bodies together are too large, or the server ends.
        """
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.settings.max_bytes):
            raise self._too_large()
        seconds = self.settings.body_seconds
        try:
            async with self.bodies.limit(seconds):
                while not body.complete:
                    self.bodies.held += body.take(await receive())
                    if body.size > self.settings.max_bytes:
                        raise self._too_large()
                    if self.bodies.held > self.settings.max_bytes_waiting:
                        raise overloaded("the server holds as many bytes of requests as it may")
        except TimeoutError:
            body.late = True
            if self.bodies.is_ending:
                raise overloaded("the server is ending, and the body was not complete") from None
            raise Refusal(408, "slow_body", f"the body was not complete after {seconds:g} s") from None

    def _too_large(self) -> Refusal:
        limit = self.settings.max_bytes / MIB
        return Refusal(413, "too_large", f"the body has more than {limit:g} MiB: send less in one request")


def check_token(value: str, token: str) -> None:
    """Refuse a header `Authorization` that has not the token.

    Raises:
        Refusal: 401.
    """
    kind, _, given = value.partition(" ")
    # In bytes: `compare_digest` raises for text that is not ASCII.
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Refusal(
            401,
            "token",
            "the request needs the header Authorization: Bearer TOKEN, with that of vit serve --token",
            {"www-authenticate": "Bearer"},
        )


class _Body:
    """What has come of a body."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.complete = self.disconnected = self.late = False

    def take(self, message: Message) -> int:
        """Keep what a message brings; its length."""
        if message["type"] == "http.disconnect":
            self.complete = self.disconnected = True
            return 0
        chunk = message.get("body", b"")
        self.chunks.append(chunk)
        self.size += len(chunk)
        self.complete = not message.get("more_body", False)
        return len(chunk)

    def replay(self, receive: Receive) -> Receive:
        """A `receive` that gives the body once more, and then what comes after it."""
        chunks = self.chunks[::-1]
        self.chunks = []

        async def again() -> Message:
            if not chunks:
                return await receive()
            chunk = chunks.pop()
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        return again


async def _refuse(
    refusal: Refusal, headers: Mapping[str, str], body: _Body, receive: Receive, send: Send
) -> None:
    """Send a refusal. A client that is still sending gets it too, because what it sends is read for a while:
    to close at once would reset the connection before the client has read the answer."""
    body.chunks = []
    content = refusal.body()
    fields = {"content-type": "application/json", "content-length": str(len(content)), **refusal.headers}
    if not body.complete:
        fields["connection"] = "close"
    await send({"type": "http.response.start", "status": refusal.status, "headers": _encoded(fields)})
    sends = not (body.complete or body.late or "expect" in headers)
    await send({"type": "http.response.body", "body": content, "more_body": sends})
    if sends:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (message := await receive()).get("more_body", False):
                    del message
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _with_headers(send: Send) -> Send:
    """A `send` that adds `HEADERS` to every answer that has not its own."""

    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            names = {name.lower() for name, _ in own}
            rest = [pair for pair in _encoded(HEADERS) if pair[0] not in names]
            message = {**message, "headers": own + rest}
        await send(message)

    return added


def _decoded(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
