"""Who may ask, from where, and how much: what comes before any route."""

from typing import Any

import pytest

from .serving import METHODS, client_of, files, picture

from vit.errors import UsageError  # isort: skip
from vit.serve.hosts import parse_authority  # isort: skip
from vit.serve.settings import Settings  # isort: skip

PATHS = ("/", "/predict", "/health/live", "/metrics", "/nowhere")
TOKEN = "correct horse battery"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_foreign_names_are_refused_on_every_method(client: Any, method: str, path: str) -> None:
    for headers, code in (
        ({"host": "evil.example"}, "foreign_host"),
        ({"host": "127.0.0.1.evil.example:8000"}, "foreign_host"),
        ({"host": "127.0.0.1@evil.example"}, "foreign_host"),
        ({"host": ""}, "foreign_host"),
        ({"host": "10.0.0.7:8000"}, "foreign_host"),
        ({"origin": "http://evil.example"}, "foreign_origin"),
        ({"origin": "null"}, "foreign_origin"),
        ({"origin": "http://127.0.0.1:9000"}, "foreign_origin"),
        ({"origin": "http://localhost:8000"}, "foreign_origin"),
        ({"origin": "file://127.0.0.1:8000"}, "foreign_origin"),
    ):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        if method != "HEAD":
            assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "localhost."]
)
def test_names_of_this_machine_are_its_own(client: Any, host: str) -> None:
    assert client.get("/health/live", headers={"host": host}).status_code == 200
    own = {"host": host, "origin": f"http://{host}"}
    assert client.post("/predict", files=files(picture(1)), headers=own).status_code == 200


def test_the_name_of_a_proxy_can_be_allowed(cifar10: Any) -> None:
    with client_of(cifar10, allow_hosts=("Hub.example.org",)) as client:
        for headers, status in (
            ({"host": "hub.example.org"}, 200),
            ({"host": "hub.example.org:443", "origin": "https://hub.example.org"}, 200),
            ({"origin": "https://hub.example.org"}, 200),  # the proxy has put its own Host
            ({"host": "other.example.org"}, 403),
            ({"origin": "https://other.example.org"}, 403),
        ):
            assert client.get("/health/live", headers=headers).status_code == status


def test_a_server_for_others_takes_any_address_and_no_foreign_name(cifar10: Any) -> None:
    with client_of(cifar10, host="0.0.0.0", token=TOKEN) as client:
        assert client.get("/health/live", headers={"host": "192.168.1.5:8000"}).status_code == 200
        assert client.get("/health/live", headers={"host": "rebound.example:8000"}).status_code == 403


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a.b:80", ("a.b", 80)),
        ("[::1]", ("::1", None)),
        ("A.", ("a", None)),
        ("a:b", None),
        ("a/b", None),
        ("a b", None),
        ("a\n", None),
        ("ä.example", None),
        ("::1", None),
    ],
)
def test_authorities(text: str, parsed: tuple[str, int | None] | None) -> None:
    assert parse_authority(text) == parsed


def test_a_token(cifar10: Any) -> None:
    with client_of(cifar10, token=TOKEN) as client:
        for path in ("/", "/app.js", "/style.css", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
        for path in ("/model", "/metrics", "/openapi.json", "/nowhere"):
            assert client.get(path).status_code == 401
        for value in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            b"Bearer \xff\xfe",
        ):
            answer = client.post("/predict", files=files(picture(1)), headers={"authorization": value})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer.text
        good = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/predict", files=files(picture(1)), headers=good).status_code == 200
        described = client.get("/openapi.json", headers=good).json()
        assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.168.1.5"},
        {"host": "example.org"},
        {"token": ""},
        {"token": "schlüssel"},
        {"token": "a\nb"},
        {"root_path": "vit"},
        {"port": 70_000},
        {"max_waiting": 3, "max_inputs": 4},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**settings)


def test_bodies_that_are_too_large(cifar10: Any) -> None:
    with client_of(cifar10, max_bytes=10_000) as client:
        for content in (b"x" * 10_001, iter([b"x" * 6000] * 2)):  # with a length, and in chunks
            answer = client.post("/predict", content=content, headers={"content-type": "image/png"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert client.post("/predict", files=files(picture(1))).status_code == 200
    with client_of(cifar10, max_bytes_waiting=10_000) as client:
        answer = client.post("/predict", content=b"x" * 10_001, headers={"content-type": "image/png"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.post("/predict", files=files(picture(1))).status_code == 200


@pytest.mark.parametrize("strips", [True, False])
def test_below_a_path_of_a_proxy(cifar10: Any, strips: bool) -> None:
    """Proxies that leave their prefix in the path, and those that take it away."""
    with client_of(cifar10, root_path="/user/me/proxy", token=TOKEN) as client:
        base = "" if strips else "/user/me/proxy"
        page = client.get(f"{base}/")
        assert page.status_code == 200
        assert client.get(f"{base}/app.js").status_code == 200
        assert client.get(f"{base}/model").status_code == 401
        good = {"authorization": f"Bearer {TOKEN}"}
        described = client.get(f"{base}/openapi.json", headers=good).json()
        assert described["servers"] == [{"url": "/user/me/proxy"}]


def test_every_answer_has_its_headers(client: Any) -> None:
    for answer in (
        client.get("/"),
        client.get("/nowhere"),
        client.get("/", headers={"host": "evil.example"}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_asks_nothing_of_others(client: Any) -> None:
    for path in ("/", "/app.js", "/style.css"):
        text = client.get(path).text
        assert "http:" not in text
        assert "https:" not in text
        assert 'src="/' not in text
        assert 'href="/' not in text


def test_metrics(cifar10: Any) -> None:
    with client_of(cifar10) as client:
        client.post("/predict", files=files(picture(1), b"no picture"))
        client.get("/nowhere/图片")
        client.get("/", headers={"host": "evil.example"})
        text = client.get("/metrics").text
    assert 'vit_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'vit_requests_total{path="other",status="404"} 1.0' in text
    assert 'vit_requests_total{path="/",status="403"} 1.0' in text
    assert 'vit_inputs_total{path="/predict",status="ok"} 1.0' in text
    assert 'vit_inputs_total{path="/predict",status="not_an_image"} 1.0' in text
    assert "vit_inputs_waiting 0.0" in text
    assert 'vit_batch_size_count{kind="predict"}' in text


def test_the_description(client: Any) -> None:
    """Answers and bodies have schemas and examples, and the names are those of the routes."""
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/predict",
        "/embed",
        "/attend",
        "/model",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    schemas = described["components"]["schemas"]
    for name in ("Predictions", "Embeddings", "Maps", "Description", "Health", "Error"):
        assert schemas[name]["examples"]
    for path in ("/predict", "/embed", "/attend"):
        post = described["paths"][path]["post"]
        assert set(post["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
        assert {"200", "401", "403", "408", "413", "415", "422", "503"} == set(post["responses"])
