"""App: the models as one ASGI application: addresses, documentation, and what every answer carries.

`Service` is the outermost layer. It names the request, refuses what is too much or has no key, and logs and counts
what was answered. The addresses of predictions it calls itself, the others FastAPI's router does; both know the same
endpoints, and the former only saves the way through router and middleware (measured: a third of the throughput).
"""

import asyncio
import gc
import hmac
import itertools
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.serving import meters
from artifact_flow.serving.document import describe_api
from artifact_flow.serving.logs import Asked, PredictionLog, open_writer, shared_folder
from artifact_flow.serving.model import Model, open_models
from artifact_flow.serving.problems import Problem, Told
from artifact_flow.serving.routes import Endpoint, ModelRoutes, Room, SlowLane
from artifact_flow.serving.settings import Settings, load_settings
from artifact_flow.serving.window import Window

STATIC = Path(__file__).parent / "static"
STARTUP_FAILURE = 3  # uvicorn's: the supervisor does not start such a worker again
DRAIN_SECONDS = 1.0  # between SIGTERM and the end of listening
OPEN = ("/", "/health", "/ready")  # without a key
ID = re.compile(rb"[\w.:+/=-]{1,128}")  # a request id that a client may choose
NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

logger = logging.getLogger("artifact_flow.serving")


class Service:
    """The outermost ASGI application."""

    def __init__(self, models: dict[str, Model], settings: Settings) -> None:
        """Build the addresses of every model; the first is also at the root."""
        self.models, self.settings = models, settings
        self.log = PredictionLog(open_writer(settings.log_file), settings.log_inputs, meters.DROPPED.inc)
        self.slow, self.room = SlowLane(settings), Room(settings)
        self.draining, self.in_flight = False, 0
        self.routes = {name: self._open(model) for name, model in models.items()}
        self.first = next(iter(models.values()))
        self.api = self._build()
        process = os.urandom(6).hex()
        self._ids = (f"{process}-{number:x}".encode() for number in itertools.count(1))
        self._key = settings.api_key.encode() if settings.api_key else None
        commit = settings.commit.encode()
        self._headers = {
            model.name: [
                (b"x-model-sha256", model.sha256.encode()),
                (b"x-commit", commit),
                (b"x-content-type-options", b"nosniff"),
            ]
            for model in models.values()
        }
        for model in models.values():
            meters.INFO.labels(model.name, model.sha256, settings.commit).set(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        started, when = time.perf_counter(), time.time()
        path: str = scope["path"]
        model, endpoint = self._place(path)
        request_id = dict(scope["headers"]).get(b"x-request-id", b"")
        if not request_id or not ID.fullmatch(request_id):
            request_id = next(self._ids)
        self.in_flight += 1
        meters.IN_FLIGHT.inc()
        status, message = 500, ""
        try:
            response = await self._answer(scope, receive)
            if isinstance(response, Response):
                status = response.status_code
                response.raw_headers += self._own_headers(path, model, request_id)
                await response(scope, receive, send)
            else:
                status = await self._pass_on(scope, receive, send, self._own_headers(path, model, request_id))
        except Problem as problem:
            status, message = problem.status, problem.sentence
            response = problem.response()
            response.raw_headers += self._own_headers(path, model, request_id)
            await response(scope, receive, send)
        finally:
            self.in_flight -= 1
            self.room.leave(scope)
            meters.IN_FLIGHT.dec()
            seconds = time.perf_counter() - started
            count, observe = meters.request_meters(model.name, endpoint, status)
            count()
            observe(seconds)
            if status >= 400:
                meters.error_meter(status)()
            if "/predict" in endpoint:
                rows, answers = scope.get("asked", ((), ()))
                window, told = self.routes[model.name].window, message or ("prediction" if answers else "refused")
                name = request_id.decode()
                self.log.put(Asked(when, path, status, seconds, name, model, window, rows, answers, told))

    def count_error(self, status: int) -> None:
        """Count a request that was refused before it was whole."""
        meters.error_meter(status)()

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the answer of a prediction's address, None for another address; raise Problem."""
        path = scope["path"]
        if self.in_flight > self.settings.in_flight and path not in OPEN:
            raise Problem(503, "too many requests at a time: try again later.", {"Retry-After": "1"})
        if self._key is not None and path not in OPEN and not path.startswith("/static/"):
            self._check_key(scope, self._key)
        endpoint = self.direct.get(path) if scope["method"] == "POST" else None
        if endpoint is None:
            return None
        try:
            return await endpoint(Request(scope, receive))
        except Problem:
            raise
        except Exception as error:
            logger.exception("a fault while answering %s", path)
            raise Problem(500, "the service failed: its log says more.") from error

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> int:
        """Let FastAPI answer; return the status."""
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.api(scope, receive, send_with_headers)
        return status

    def _check_key(self, scope: Scope, key: bytes) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(given, key):
            raise Problem(
                401,
                "the API key is missing or wrong: send it as X-API-Key or as a bearer token.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _place(self, path: str) -> tuple[Model, str]:
        """Return the model that an address belongs to, and the address without names that a client may choose."""
        if path in self.known:
            return self.known[path], path
        return self.first, "/static" if path.startswith("/static") else "other"

    def _own_headers(self, path: str, model: Model, request_id: bytes) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", request_id), *self._headers[model.name]]
        if path == "/" or path.startswith("/static/"):
            headers.append((b"cache-control", b"no-cache"))  # a page and its script are of one version
        if path not in self.direct:
            policy = DOCS if path == "/docs" else PAGE if path == "/" else NO_PAGE
            headers += [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer")]
        if self.draining:
            headers.append((b"connection", b"close"))
        return headers

    def _open(self, model: Model) -> ModelRoutes:
        window = Window(model.name, len(model.contract.features), shared_folder())
        return ModelRoutes(model, window, self.slow, self.room, self.settings)

    def _build(self) -> FastAPI:
        api = FastAPIOffline(
            docs_url="/docs",
            redoc_url=None,
            static_url="/static/docs",
            lifespan=self._lifespan,
            title="artifact-flow",
            version=self.settings.commit[:12],
            swagger_ui_oauth2_redirect_url="/docs/oauth2",
            description="Predictions of models that one commit reproduces. Every answer carries X-Request-ID, "
            "X-Model-SHA256 and X-Commit.",
        )
        api.add_exception_handler(HTTPException, _tell)
        api.add_exception_handler(Problem, _tell)
        api.add_exception_handler(Exception, _tell)
        self.direct: dict[str, Endpoint] = {}
        self.known: dict[str, Model] = {}
        for number, (name, routes) in enumerate(self.routes.items()):
            for prefix in ["", f"/models/{name}"] if number == 0 else [f"/models/{name}"]:
                for path, endpoint in describe_api(api, prefix, routes).items():
                    self.known[path] = self.models[name]
                    if "/predict" in path:
                        self.direct[path] = endpoint
        for path in ("/", "/health", "/ready", "/metrics", "/models"):
            self.known[path] = self.first
        describe_service(api, self)
        api.mount("/static", StaticFiles(directory=STATIC), name="static")
        return api

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        # what was built at the start never becomes garbage: p99 at 64 connections 64-95 ms → 5-13 ms
        gc.collect()
        gc.freeze()
        self._say_goodbye_first()
        yield
        self.slow.pool.shutdown()
        self.log.close()

    def _say_goodbye_first(self) -> None:
        """Let SIGTERM wait: for a while every answer asks to go elsewhere, so that no connection is cut in use."""
        loop = asyncio.get_running_loop()
        leave = signal.getsignal(signal.SIGTERM)  # uvicorn's, which closes what listens

        def begin(number: int, frame: FrameType | None) -> None:
            self.draining = True
            if callable(leave):
                later = partial(leave, number, frame)
                loop.call_soon_threadsafe(lambda: loop.call_later(DRAIN_SECONDS, later))

        signal.signal(signal.SIGTERM, begin)


def create() -> ASGIApp:
    """Return the service that the environment tells of; a mistake ends the process with one sentence."""
    settings = load_settings()
    try:
        return Service(open_models(settings), settings)
    except ArtifactFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(STARTUP_FAILURE)


def describe_service(api: FastAPI, service: Service) -> None:
    """Add the addresses that belong to no model."""

    @api.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    @api.head("/health", include_in_schema=False)
    @api.get("/health", tags=["service"], summary="Alive", operation_id="health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @api.head("/ready", include_in_schema=False)
    @api.get(
        "/ready",
        tags=["service"],
        summary="Models loaded and tested",
        operation_id="ready",
        responses={503: {"model": Told}},
    )
    async def ready() -> dict[str, str]:
        if service.draining:
            raise Problem(503, "on the way out: ask another replica.", {"Retry-After": "1"})
        for model in service.models.values():
            model.check()
        return {"status": "ready"}

    @api.get("/models", tags=["service"], summary="Names of the models; the first is also at the root")
    async def models() -> list[str]:
        return list(service.models)

    @api.get(
        "/metrics",
        tags=["service"],
        summary="Meters, as Prometheus reads them",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        def work() -> bytes:
            return meters.render(lambda: ((name, routes.measure()) for name, routes in service.routes.items()))

        return Response(await asyncio.to_thread(work), headers={"content-type": meters.CONTENT_TYPE})


async def _tell(request: Request, error: Exception) -> Response:
    """Return what a client is told of an exception."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HTTPException):
        sentences = {
            404: f"there is nothing at {request.url.path[:100]}: /docs lists the addresses.",
            405: f"{request.url.path[:100]} does not take {request.method[:20]}: /docs lists what it takes.",
        }
        sentence = sentences.get(error.status_code, str(error.detail))
        return Problem(error.status_code, sentence, dict(error.headers or {})).response()
    logger.error("a fault while answering %s", request.url.path, exc_info=error)
    return Problem(500, "the service failed: its log says more.").response()
