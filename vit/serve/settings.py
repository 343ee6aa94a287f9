"""What a server is started with, and the limits on what it takes."""

import ipaddress
from dataclasses import dataclass

from vit.errors import UsageError
from vit.inputs.decoding import Limits

MIB = 2**20
SERVING_LIMITS = Limits(seconds=10.0, memory=1024 * MIB)


@dataclass(frozen=True)
class Settings:
    """How a model is served. The limits are per request if nothing else is said.

    Args:
        host: The address that the server binds to.
        port: 0 is any free one.
        token: What requests carry as `Authorization: Bearer TOKEN`; None: nothing, on this machine only.
        root_path: The path below which a proxy shows the server, such as `/vit`.
        allow_hosts: Names, besides `host` and those of this machine's loopback, by which browsers may reach
            the server: those of a proxy.
        name: Of the model, for the page.
        max_bytes: Of a body.
        max_inputs: Pictures or texts.
        max_characters: Of one text.
        body_seconds: From the headers to the end of the body.
        max_waiting: Inputs, of all requests, that are accepted and not answered yet.
        max_bytes_waiting: Bytes of all bodies together that are held at once.
        batch_size: Most inputs in one pass of the model.
        shutdown_seconds: For the requests that were taken, once the server is told to end.
        limits: For the decoding of each picture.

    Raises:
        UsageError: An address for others without a token, a token that no header can carry, or a limit that
            lets nothing through.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    root_path: str = ""
    allow_hosts: tuple[str, ...] = ()
    name: str = "model"
    max_bytes: int = 32 * MIB
    max_inputs: int = 64
    max_characters: int = 20_000
    body_seconds: float = 30.0
    max_waiting: int = 256
    max_bytes_waiting: int = 512 * MIB
    batch_size: int = 32
    shutdown_seconds: int = 20
    limits: Limits = SERVING_LIMITS

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host is {self.host}, which others can reach: give a --token that requests must carry, or "
                "leave --host at 127.0.0.1"
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token):
            raise UsageError("--token is empty or not plain ASCII, which a header cannot carry")
        if self.token is not None and self.token != self.token.strip():
            raise UsageError("--token begins or ends with a space, which headers lose")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise UsageError(f"--root-path is {self.root_path}, expected one like /vit")
        if not 0 <= self.port < 65536:
            raise UsageError(f"--port is {self.port}, expected 0 to 65535")
        if self.max_waiting < self.max_inputs:
            raise UsageError(
                f"the queue has {self.max_waiting} places, and a request may have {self.max_inputs} inputs: "
                "such a request would never be taken; raise --queue or lower --max-inputs"
            )


def is_loopback(host: str) -> bool:
    """Whether an address or a name is that of this machine for itself alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
