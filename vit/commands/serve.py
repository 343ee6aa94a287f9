"""Serve a model on this machine: a page in the browser, and an interface for programs.

example:
  vit serve runs/digits
  vit serve cifar10 --port 9000
  vit serve cifar10 --host 0.0.0.0 --token "$(openssl rand -hex 16)" --allow-host pictures.example.org

The page at / takes a picture that is dropped, pasted or photographed, or a text, and shows labels, scores and
what the model attended to. Programs send pictures or texts to /predict, /attend and /embed; /openapi.json
describes them, /metrics is for Prometheus, /health/live and /health/ready for what watches the server:

  curl -F files=@photo.jpg http://127.0.0.1:8000/predict

Answers are the rows of vit predict and vit embed. Where others can reach --host, requests must carry --token
(or the environment variable VIT_SERVE_TOKEN) as "Authorization: Bearer TOKEN".
"""

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, get_args

from vit.config import MODEL_HELP, Precision
from vit.errors import VitError
from vit.ranges import require_positive

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.serve.settings import Settings

TOKEN = "VIT_SERVE_TOKEN"
MIB = 2**20
POSITIVE = (
    "batch_size",
    "queue",
    "max_inputs",
    "max_mib",
    "max_characters",
    "body_timeout",
    "shutdown_timeout",
    "timeout",
    "memory",
)


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, address, limits."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to bind to (default: 127.0.0.1, this machine alone); any other needs a token",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--token", help=f"what requests must carry (default: {TOKEN} of the environment)")
    parser.add_argument("--root-path", default="", help="path below which a proxy shows the server: /vit")
    parser.add_argument(
        "--allow-host", metavar="NAME,...", default="", help="names of proxies through which browsers come"
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="32-true",
        help="32-true (default): float32, so that no answer depends on its neighbours in a batch; auto: half "
        "precision for large models where the hardware has it",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="most inputs in one pass (default: 32)")
    parser.add_argument(
        "--queue", type=int, default=256, help="inputs that may wait; then 503 (default: 256)"
    )
    parser.add_argument("--max-inputs", type=int, default=64, help="of one request (default: 64)")
    parser.add_argument("--max-mib", type=int, default=32, help="MiB of one request (default: 32)")
    parser.add_argument("--max-characters", type=int, default=20_000, help="of one text (default: 20000)")
    parser.add_argument("--body-timeout", type=float, default=30.0, help="seconds for a body (default: 30)")
    parser.add_argument(
        "--shutdown-timeout",
        type=int,
        default=20,
        help="seconds after SIGTERM for the requests that were taken (default: 20)",
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for one picture (default: 10)")
    parser.add_argument("--memory", type=int, default=1024, help="MiB to decode one picture (default: 1024)")


def run(arguments: "Namespace") -> int:
    """Serve until SIGTERM or Ctrl-C."""
    for option in POSITIVE:
        require_positive(f"--{option.replace('_', '-')}", arguments[option])
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise VitError(f"vit serve needs {error.name}: pip install 'vit[serve]'") from None
    settings = make_settings(arguments)
    from vit.inputs.processes import warm_up

    warm_up()  # during the imports below, which take seconds
    from vit.device import best_device
    from vit.serve.running import bind, serve
    from vit.weights.models import load_model

    listener = bind(settings)
    try:
        model = load_model(arguments.model, precision=arguments.precision).to(best_device())
        serve(model, settings, listener, lambda url: print(f"{settings.name} at {url}", flush=True))
    finally:
        listener.close()
    return 0


def make_settings(arguments: "Namespace") -> "Settings":
    """What the arguments and the environment say.

    Raises:
        UsageError: They do not fit each other.
    """
    from vit.inputs.decoding import Limits
    from vit.serve.settings import Settings

    word = str(arguments.model)
    return Settings(
        host=arguments.host,
        port=arguments.port,
        token=arguments.token if arguments.token is not None else os.environ.get(TOKEN),
        root_path=arguments.root_path.rstrip("/"),
        allow_hosts=tuple(name.strip() for name in arguments.allow_host.split(",") if name.strip()),
        name=PurePath(word).name or word,  # no path of this machine
        max_bytes=arguments.max_mib * MIB,
        max_inputs=arguments.max_inputs,
        max_characters=arguments.max_characters,
        body_seconds=arguments.body_timeout,
        max_waiting=arguments.queue,
        batch_size=arguments.batch_size,
        shutdown_seconds=arguments.shutdown_timeout,
        limits=Limits(arguments.timeout, arguments.memory * MIB),
    )
