"""The page: drop, paste or photograph a picture, or type a text; see labels and the interactive viewer.

All of its URLs are relative, so that it works below any path of a proxy.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from vit.viewer.document import asset, with_palette
from vit.viewer.page import sources

KINDS = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}


def add_page(app: FastAPI) -> None:
    """Add `/` and the two files that it loads."""
    headers = {"content-security-policy": policy()}
    for name, kind in KINDS.items():
        path = "/" if name == "index.html" else f"/{name}"
        file = Path(__file__).parent / name
        content = (with_palette(file) if name == "style.css" else asset(file)).encode()
        app.add_api_route(
            path, _sender(content, kind, headers), methods=["GET", "HEAD"], include_in_schema=False
        )


def policy() -> str:
    """The Content-Security-Policy of the page: its own files, and in the frame the viewer's script alone."""
    script, style = sources()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' '{script}'",
            f"style-src 'self' '{style}'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


def _sender(content: bytes, kind: str, headers: dict[str, str]) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, headers={**headers, "content-type": kind})

    return send
