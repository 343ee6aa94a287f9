"""A server from its socket to its end: bind, answer, finish what was taken."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI

from vit.errors import VitError
from vit.serve.app import make_app
from vit.serve.settings import Settings

IDLE = 15  # seconds after which a connection without a request is closed


def bind(settings: Settings) -> socket.socket:
    """A socket at the address, not listening yet: a taken port is known before a model is loaded.

    Raises:
        VitError: It cannot be had.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise VitError(
            f"{where} is no address of this machine ({error.strerror}): give another --host"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise VitError(f"{where} cannot be used ({error.strerror}): give another --port, or --host") from None
    return listener


def serve(
    model: Any, settings: Settings, listener: socket.socket, on_start: Callable[[str], None] = print
) -> None:
    """Serve until SIGTERM or Ctrl-C, which are raised again once what was taken is answered.

    Args:
        model: As in `make_app`.
        settings: How it is served.
        listener: From `bind`; it is closed.
        on_start: Called with the server's URL when it answers.

    Raises:
        VitError: It could not begin.
    """
    app = make_app(model, settings)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="error",  # what clients send wrongly is no matter for a log
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    server = uvicorn.Server(config)
    try:
        asyncio.run(_run(server, app, listener, on_start))
    except SystemExit:
        if server.started:
            raise
        raise VitError("the server could not begin; the lines above say why") from None
    finally:
        listener.close()


async def _run(
    server: uvicorn.Server, app: FastAPI, listener: socket.socket, on_start: Callable[[str], None]
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.02)
    if server.started:
        on_start(url_of(listener))
    while not (server.should_exit or serving.done()):
        await asyncio.sleep(0.1)
    app.state.bodies.end()
    await serving


def url_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:8000/`; of an address that stands for all, that of this machine for itself."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
