"""App: the outermost ASGI application, which checks, dispatches, counts and logs every request.

`Service` calls the prediction endpoints itself, without FastAPI's router and middleware, which would cost a third of
the throughput (measured). FastAPI answers all other paths. Both use the same endpoint functions.
"""

import sys
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.serving import meters
from artifact_flow.serving.api import FAULT, build_api, logger
from artifact_flow.serving.headers import Headers, ResponseHeaders
from artifact_flow.serving.key import ApiKey
from artifact_flow.serving.lifespan import Resources
from artifact_flow.serving.limits import Admission
from artifact_flow.serving.logs import RequestRecord
from artifact_flow.serving.model import ServedModel, open_models
from artifact_flow.serving.origins import Fields
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import ServiceSettings, load_settings

STARTUP_FAILURE = 3  # uvicorn's exit code for a failed start: the supervisor does not restart such a worker


class Service:
    """The service as one ASGI application over its resources, limits and endpoints."""

    def __init__(self, models: dict[str, ServedModel], settings: ServiceSettings) -> None:
        """Build the endpoints of every model; those of the first are also at the root."""
        self.settings = settings
        self.resources, self.admission = Resources(models, settings), Admission(settings)
        self.key = ApiKey(settings.api_key)
        self.api = build_api(self.resources)
        self.headers = ResponseHeaders(models.values(), settings.commit, self.api.predictions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, then count it and log it if it asked for a prediction."""
        if scope["type"] != "http":
            await self.api.app(scope, receive, send)
            return
        started, when = time.perf_counter(), time.time()
        path: str = scope["path"]
        model, endpoint = self._find_model(path)
        fields = dict(scope["headers"])
        request_id = self.headers.request_id(fields)
        self.admission.in_flight += 1
        meters.IN_FLIGHT.inc()
        status, message = 500, ""
        try:
            try:
                response = await self._predict(scope, receive, fields)
            except Problem as problem:
                message, response = problem.sentence, problem.response()
            headers = self.headers.build(path, model, request_id, self.resources.draining)
            if response is None:
                status = await self._pass_on(scope, receive, send, headers)
            else:
                status = response.status_code
                response.raw_headers += headers
                await response(scope, receive, send)
        finally:
            self.admission.in_flight -= 1
            self.resources.memory.release(scope)
            meters.IN_FLIGHT.dec()
            seconds = time.perf_counter() - started
            count, observe = meters.request_meters(model.name, endpoint, status)
            count()
            observe(seconds)
            if status >= 400:
                self.count_error(status)
            if "/predict" in endpoint:
                rows, answers = scope.get("answered", ((), ()))
                window, name = self.resources.routes[model.name].window, request_id.decode()
                text = message or ("prediction" if answers else "refused")
                record = RequestRecord(when, path, status, seconds, name, model, window, rows, answers, text)
                self.resources.log.put(record)

    def count_error(self, status: int) -> None:
        """Count a request that was refused or failed."""
        meters.error_meter(status)()

    async def _predict(self, scope: Scope, receive: Receive, fields: Fields) -> Response | None:
        """Return the response of a prediction endpoint, None for any other path; raise Problem."""
        self.admission.check(scope, fields)
        self.key.check(scope)
        endpoint = self.api.predictions.get(scope["path"]) if scope["method"] == "POST" else None
        if endpoint is None:
            return None
        try:
            return await endpoint(Request(scope, receive))
        except Problem:
            raise
        except Exception as error:
            logger.exception("internal error while answering %s", scope["path"])
            raise Problem(500, FAULT) from error

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> int:
        """Let FastAPI answer with these headers added; return the status."""
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.api.app(scope, receive, send_with_headers)
        return status

    def _find_model(self, path: str) -> tuple[ServedModel, str]:
        """Return the model of a path, and the path as a metric's label: without names that a client may choose."""
        if path in self.api.models:
            return self.api.models[path], path
        return self.resources.first, "/static" if path.startswith("/static") else "other"


def create() -> ASGIApp:
    """Return the service that the environment describes; on an invalid one, end the process with one sentence."""
    settings = load_settings()
    try:
        return Service(open_models(settings), settings)
    except ArtifactFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(STARTUP_FAILURE)
