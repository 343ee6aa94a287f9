"""Uploads to a stand-in of the hub on this machine, through the hub's own client."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

import vit
from vit.errors import UsageError, VitError
from vit.export.hub import push_to_hub, require_repository


class Hub(ThreadingHTTPServer):
    """What the client asks of the hub to make a repository and to commit to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, str]] = []  # path and token of each request
        self.made: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.message = ""
        self.status = 200

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        hub = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self.chunks()
        hub.asked.append((self.path, self.headers.get("Authorization", "")))
        self.answer(hub.status, self.content(body) if hub.status == 200 else {"error": "no"})

    def chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        return found

    def content(self, body: bytes) -> dict[str, Any]:
        hub = self.server
        if self.path == "/api/repos/create":
            hub.made.append(json.loads(body))
            said = hub.made[-1]
            owner = said.get("organization")
            return {"url": f"{hub.address}/{owner}/{said['name']}", "name": said["name"]}
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            return {"files": [{**each, "uploadMode": "regular", "shouldIgnore": False} for each in asked]}
        if "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "header":
                    hub.message = entry["value"]["summary"]
                else:
                    hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            return {"commitUrl": f"{hub.address}/someone/small/commit/1", "commitOid": "1", "success": True}
        return {"errors": [], "warnings": []}  # of the card's YAML

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing to stderr."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.address, token="hf_secret")


def test_a_folder_with_its_card(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    (tmp_path / ".hidden").write_text("secret")
    address = push_to_hub(tmp_path, "someone/small", card="# small", private=True, api=api(hub))
    assert address == f"{hub.address}/someone/small"
    assert hub.files == {
        "model.safetensors": b"weights",
        "1_Pooling/config.json": b"{}",
        "README.md": b"# small",
    }
    assert hub.message == f"Add {tmp_path.name}"
    assert hub.made[0]["name"] == "small"
    assert hub.made[0]["organization"] == "someone"
    assert hub.made[0].get("private") is True or hub.made[0].get("visibility") == "private"
    assert {token for _, token in hub.asked if token} == {"Bearer hf_secret"}


def test_a_file(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    push_to_hub(file, "someone/small", message="Say it", api=api(hub))
    assert hub.files == {"model.onnx": b"graph"}
    assert hub.message == "Say it"


def test_a_model_is_a_bundle_with_a_card(hub: Hub, tmp_path: Path) -> None:
    model = vit.load_model("cifar10_plain")
    push_to_hub(model, "someone/small", api=api(hub))
    assert hub.files.keys() == {"config.json", "model.safetensors", "README.md"}
    assert hub.files["README.md"].decode().startswith("---\nlibrary_name: vit\n")
    for name, content in hub.files.items():
        (tmp_path / name).write_bytes(content)
    assert vit.load_model(tmp_path).labels == model.labels


@pytest.mark.parametrize("status", [401, 403])
def test_without_the_right_to_write(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.status = status
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VitError, match=r"someone/small could not be written to .*: hf auth login") as caught:
        push_to_hub(tmp_path, "someone/small", api=api(hub))
    assert "\n" not in str(caught.value)
    assert "hf_secret" not in str(caught.value)
    assert hub.files == {}


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    class Gone:
        def create_repo(self, *given: object, **options: object) -> None:
            raise ConnectionError("no route to host")

    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        VitError, match=r"ConnectionError: no route to host\): what was exported stays on disk"
    ):
        push_to_hub(tmp_path, "someone/small", api=Gone())


@pytest.mark.parametrize(
    "name", ["small", "someone/", "/small", "a/b/c", "some one/small", "../small", "a/-b", ""]
)
def test_what_is_no_repository(name: str) -> None:
    with pytest.raises(UsageError, match=r"is no repository of the hub, expected OWNER/NAME"):
        require_repository(name)


def test_what_is_not_uploaded(tmp_path: Path) -> None:
    with pytest.raises(VitError, match="there is no file or folder"):
        push_to_hub(tmp_path / "missing", "someone/small")
    with pytest.raises(VitError, match="has no files to upload"):
        push_to_hub(tmp_path, "someone/small")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(VitError, match=r"is the folder of a run: upload its model, .*model"):
        push_to_hub(tmp_path, "someone/small")
