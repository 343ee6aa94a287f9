"""What only real connections show: slow and half-sent bodies, floods, signals, headers that are not text."""

import http.client
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .serving import METHODS, Server, picture

BOUNDARY = "a-boundary"


def form(content: bytes, name: str = "photo.png") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def request(body: bytes, *headers: str, path: str = "/predict", length: int | None = None) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    content = answer.read()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}, json.loads(content)


def ask(server: Server, content: bytes, **kind: str) -> tuple[int, dict[str, str], Any]:
    with connect(server) as connection:
        connection.sendall(request(form(content), **kind))
        return read_answer(connection)


def test_a_byte_a_second_stops_no_other(server: Server) -> None:
    """The slow client is told so after its two seconds, and others are answered as if it were not there."""
    body = form(picture(1))
    with connect(server) as slow:
        slow.sendall(request(b"", length=len(body)))
        began, times = time.monotonic(), []
        slow.setblocking(False)
        for byte in body:
            before = time.monotonic()
            assert ask(server, picture(2))[0] == 200
            times.append(time.monotonic() - before)
            try:
                slow.sendall(bytes([byte]))
            except OSError:  # it was closed
                break
            if time.monotonic() - began > 2.5:
                break
            time.sleep(0.5)
        slow.settimeout(10)
        status, headers, answer = read_answer(slow)
    assert (status, answer["error"]["code"], headers["connection"]) == (408, "slow_body", "close")
    assert time.monotonic() - began < 8
    assert max(times) < 2


def test_a_half_sent_body_is_not_kept_open(server: Server) -> None:
    body = form(picture(1))
    with connect(server) as connection:
        connection.sendall(request(body[:200], length=len(body)))
        began = time.monotonic()
        assert read_answer(connection)[0] == 408
        assert connection.recv(1) == b""  # closed by the server
        assert time.monotonic() - began < 6


@pytest.mark.parametrize("kind", ["length", "chunks", "no expectation"])
def test_200_megabytes_are_not_taken(server: Server, kind: str) -> None:
    """The client reads its 413, and the server has held none of it."""
    before, chunk = server.memory(), b"x" * 2**20
    with connect(server) as connection:
        if kind == "chunks":
            head = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            connection.sendall(head)
        else:
            connection.sendall(request(b"", length=200 * 2**20))
        if kind == "no expectation":  # a client that reads before it has sent
            status, _, answer = read_answer(connection)
        else:
            for _ in range(200):
                connection.sendall((b"%x\r\n%b\r\n" % (len(chunk), chunk)) if kind == "chunks" else chunk)
            if kind == "chunks":
                connection.sendall(b"0\r\n\r\n")
            status, _, answer = read_answer(connection)
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert server.memory() - before < 100 * 2**20


def test_who_asks_before_sending_sends_nothing(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(request(b"", "Expect: 100-continue", length=200 * 2**20))
        assert read_answer(connection)[0] == 413
    with connect(server) as connection:
        body = form(picture(1))
        connection.sendall(request(b"", "Expect: 100-continue", length=len(body)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert read_answer(connection)[0] == 200


def test_a_picture_of_20_megabytes(server: Server) -> None:
    content = picture(1, "BMP", size=(2700, 2600))
    assert len(content) > 20 * 2**20
    status, _, answer = ask(server, content)
    assert (status, answer["rows"][0]["status"]) == (200, "ok")


@pytest.mark.parametrize("method", METHODS)
def test_a_foreign_host_is_refused_on_every_method(server: Server, method: str) -> None:
    for headers in ("Host: evil.example", "Host: 127.0.0.1\r\nOrigin: http://evil.example"):
        with connect(server) as connection:
            connection.sendall(f"{method} /predict HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer \xe5\x9b\xbe",
        b"X-Name: \xe5\x9b\xbe\xe7\x89\x87",
        b"Origin: \xff",
        b"Accept-Language: \xff\xfe\xfd",
        b"Cookie: " + b"\xc3\x28" * 40,
        b"Content-Length: 5",
        b"Transfer-Encoding: nonsense",
        b"Expect: the-unexpected",
        b"X-Long: " + b"x" * 100_000,
    ],
)
def test_headers_that_are_not_text_are_no_fault_of_the_server(server: Server, line: bytes) -> None:
    with connect(server) as connection:
        head = request(b"").replace(b"Content-Length: 0\r\n", b"Content-Length: 0\r\n" + line + b"\r\n")
        connection.sendall(head)
        status = int(connection.recv(100).split()[1])
    assert 400 <= status < 500
    assert ask(server, picture(1))[0] == 200


@pytest.mark.parametrize(
    "name", ["图片.png", "צילום.png", "<script>alert(1)</script>.png", "../../etc/passwd", "a" * 4000]
)
def test_names_are_in_the_answer_alone(server: Server, name: str) -> None:
    with connect(server) as connection:
        connection.sendall(request(form(picture(1), name)))
        status, headers, answer = read_answer(connection)
    assert (status, answer["rows"][0]["path"]) == (200, name[:255])
    assert all(value.isascii() and name not in value for value in headers.values())


def test_a_client_that_leaves_is_no_trouble(server: Server) -> None:
    for cut in (0, 30, 300):
        with connect(server) as connection:
            connection.sendall(request(form(picture(1)))[:cut])
    assert ask(server, picture(1))[0] == 200


@pytest.mark.slow
def test_a_full_queue_answers_503(start: Callable[..., Server]) -> None:
    server = start("cifar10", "--queue", "2", "--max-inputs", "2")
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda seed: ask(server, picture(seed, size=(900, 700))), range(60)))
    counts = Counter(status for status, _, _ in answers)
    assert set(counts) == {200, 503}
    assert all(headers["retry-after"] == "1" for status, headers, _ in answers if status == 503)
    assert all(answer["error"]["code"] == "overloaded" for status, _, answer in answers if status == 503)
    assert ask(server, picture(1))[0] == 200


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_the_end_answers_what_was_taken(start: Callable[..., Server], number: int, code: int) -> None:
    server = start("cifar10")
    connections = [connect(server) for _ in range(12)]
    for seed, connection in enumerate(connections):
        connection.sendall(request(form(picture(seed, size=(1500, 1200))), path="/attend?method=relevance"))
    time.sleep(0.5)  # they are taken, and not all are answered
    began = time.monotonic()
    assert server.end(number) == code
    assert time.monotonic() - began < 20
    assert [read_answer(connection)[0] for connection in connections] == [200] * 12
    for connection in connections:
        connection.close()
    with pytest.raises(OSError, match="refused"):
        connect(server)


@pytest.mark.slow
def test_the_end_does_not_wait_for_half_a_body(start: Callable[..., Server]) -> None:
    server = start("cifar10")
    with connect(server) as half, connect(server):
        half.sendall(request(form(picture(1))[:100], length=5000))
        time.sleep(0.3)
        began = time.monotonic()
        assert server.end() == 143
        assert time.monotonic() - began < 8


@pytest.mark.slow
def test_a_token_from_the_environment_for_an_address_of_all(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIT_SERVE_TOKEN", "a token")
    server = start("cifar10", "--host", "0.0.0.0")
    assert ask(server, picture(1))[0] == 401
    with connect(server) as connection:
        connection.sendall(request(form(picture(1)), "Authorization: Bearer a token"))
        assert read_answer(connection)[0] == 200
