"""The routes."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vit.errors import VitError, one_line_message
from vit.inputs.decoding import Content
from vit.jobs.table import Row
from vit.serve.answers import refuse_unanswered
from vit.serve.attending import PAGE, checked_request
from vit.serve.errors import Refusal
from vit.serve.guard import Bodies, Guard
from vit.serve.inputs import in_words, read_pictures, read_texts
from vit.serve.metrics import Counted, Metrics
from vit.serve.page import add_page
from vit.serve.schemas import (
    Description,
    Discard,
    Embeddings,
    Error,
    Format,
    Fusion,
    Head,
    Health,
    Layer,
    Maps,
    MethodName,
    Predictions,
    QueryWord,
    Target,
    TopK,
    request_body,
    texts_model,
)
from vit.serve.service import Service
from vit.serve.settings import Settings

# What any request may get instead of an answer, and what those with inputs may get besides.
REFUSALS = {401: "No token, or a wrong one", 403: "A foreign Host or Origin"}
INPUT_REFUSALS = {
    408: "The body took too long",
    413: "Too many bytes or pixels",
    415: "Not what the model reads, or a picture that cannot be read here",
    422: "An argument or an input that has no answer",
    503: "The queue is full; Retry-After says when to come again",
}


def make_app(model: Any, settings: Settings) -> FastAPI:
    """The server of a model as an ASGI application.

    Args:
        model: In eval mode, with `preprocess`, on its device.
        settings: How it is served.

    Raises:
        VitError: A model that cannot be served.
    """
    metrics = Metrics()
    service = Service(model, settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title=f"vit serve {settings.name}",
        version=version("vit"),
        summary="Labels, attention maps and vectors of one model.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # these load scripts from elsewhere
        redoc_url=None,
        dependencies=[Security(HTTPBearer(auto_error=False))] if settings.token else [],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _not_there,
            RequestValidationError: _invalid,
            Exception: _failed,
        },
    )
    _add_inference(app, Inference(service, settings, metrics))
    _add_facts(app, service, settings, metrics)
    add_page(app)
    paths = {route.path for route in app.routes if hasattr(route, "path")}
    app.state.bodies = Bodies()
    app.add_middleware(Guard, settings=settings, bodies=app.state.bodies)
    # The outermost: refusals count too.
    app.add_middleware(Counted, metrics=metrics, paths=paths, root_path=settings.root_path)
    return app


class Inference:
    """The routes that take inputs.

    Args:
        service: Answers.
        settings: The server's.
        metrics: Counts inputs.
    """

    def __init__(self, service: Service, settings: Settings, metrics: Metrics):
        self.service, self.settings, self.metrics = service, settings, metrics
        self.texts = texts_model(settings)

    async def predict(self, request: Request, topk: TopK = 5) -> Response:
        """Labels and scores of each input: the rows of `vit predict`."""
        inputs = await self._inputs(request)
        return self._answer("/predict", inputs, await self.service.predict(inputs, topk))

    async def embed(self, request: Request) -> Response:
        """The vector of each input: the rows of `vit embed`."""
        inputs = await self._inputs(request)
        return self._answer("/embed", inputs, await self.service.embed(inputs))

    async def attend(
        self,
        request: Request,
        method: MethodName = "rollout",
        target: Target = None,
        query: QueryWord = "cls",
        layer: Layer = None,
        head: Head = None,
        fusion: Fusion = None,
        discard: Discard = None,
        format: Format = "json",
    ) -> Response:
        """What the model attended to in each input; with `format=html` the interactive page of one."""
        options = {"layer": layer, "head": head, "fusion": fusion, "discard": discard}
        given = {name: value for name, value in options.items() if value is not None}
        try:
            what = checked_request(self.service.model, method, target, query, given)
        except VitError as error:
            raise Refusal(422, "invalid", one_line_message(error)) from None
        inputs = await self._inputs(request)
        as_page = format == "html"
        if as_page and len(inputs) > 1:
            raise Refusal(422, "invalid", f"format=html takes one input, and there are {len(inputs)}")
        rows = await self.service.attend(inputs, what, as_page=as_page)
        answer = self._answer("/attend", inputs, rows)
        return Response(rows[0][PAGE], media_type="text/html") if as_page else answer

    async def _inputs(self, request: Request) -> list[Content] | list[str]:
        if self.service.reads == "text":
            return await read_texts(request, self.texts)
        return await read_pictures(request, self.settings)

    def _answer(self, path: str, inputs: Sequence[Any], rows: list[Row]) -> Response:
        for status, count in Counter(row["status"] for row in rows).items():
            self.metrics.inputs.labels(path, status).inc(count)
        refuse_unanswered(rows, inputs)
        return JSONResponse({"rows": [{name: row[name] for name in row if name != PAGE} for row in rows]})


def _add_inference(app: FastAPI, inference: Inference) -> None:
    service = inference.service
    routes: dict[str, tuple[Any, Any, dict[Any, Any]]] = {
        "/embed": (inference.embed, Embeddings, {}),
        "/attend": (
            inference.attend,
            Maps,
            {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
        ),
    }
    if service.labels:
        routes = {"/predict": (inference.predict, Predictions, {}), **routes}
    body = {"requestBody": request_body(service.reads, inference.settings)}
    for path, (endpoint, answer, responses) in routes.items():
        app.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            response_model=answer,
            responses=_documented(REFUSALS | INPUT_REFUSALS) | responses,
            openapi_extra=body,
        )


def _add_facts(app: FastAPI, service: Service, settings: Settings, metrics: Metrics) -> None:
    async def describe() -> Response:
        """The model, and what it takes."""
        facts = {"model": settings.name, "reads": service.reads, "labels": service.labels}
        limits = {name: getattr(settings, name) for name in ("max_bytes", "max_inputs", "max_characters")}
        return JSONResponse(facts | limits)

    async def live() -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready() -> Response:
        """Whether requests are taken: 503 while it ends, or where a part of it is gone."""
        if not service.is_ready:
            raise Refusal(
                503, "not_ready", "the server is ending, or a part of it is gone: its log says more"
            )
        return JSONResponse({"status": "ok"})

    async def figures() -> Response:
        """Prometheus metrics."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    host = _documented({403: REFUSALS[403]})
    plain: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    app.add_api_route("/model", describe, response_model=Description, responses=_documented(REFUSALS))
    app.add_api_route("/health/live", live, response_model=Health, responses=host)
    unready = _documented({503: "It is not"})
    app.add_api_route("/health/ready", ready, response_model=Health, responses=host | unready)
    app.add_api_route("/metrics", figures, response_class=Response, responses=plain | _documented(REFUSALS))


def _documented(refusals: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Error, "description": text} for status, text in refusals.items()}


async def _refused(request: Request, refusal: Any) -> Response:
    return JSONResponse(refusal.content(), refusal.status, refusal.headers)


async def _not_there(request: Request, error: Any) -> Response:
    """An unknown path, or a method that a path does not have."""
    if error.status_code == 404:
        paths = sorted(path for path in request.app.openapi()["paths"])
        message = f"there is no such path; there are / and {', '.join(paths)}"
    elif error.status_code == 405:
        message = (
            f"{request.method} is no method of this path, which has {(error.headers or {}).get('Allow')}"
        )
    else:
        message = one_line_message(error.detail)
    code = {404: "not_found", 405: "method"}.get(error.status_code, "refused")
    return await _refused(request, Refusal(error.status_code, code, message, error.headers))


async def _invalid(request: Request, error: Any) -> Response:
    return await _refused(request, Refusal(422, "invalid", in_words(error.errors())))


async def _failed(request: Request, error: Exception) -> Response:
    """A fault of the server's, whose log has the rest."""
    message = (
        one_line_message(error) if isinstance(error, VitError) else "the server failed; its log says where"
    )
    return await _refused(request, Refusal(500, "failed", message))
