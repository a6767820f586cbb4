"""App: the outermost ASGI application, which checks, dispatches, counts and logs every request.

`Service` calls the prediction endpoints itself, without FastAPI's router and middleware, which would cost a third of
the throughput (measured). FastAPI answers all other paths. Both use the same endpoint functions.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.serving import meters
from artifact_flow.serving.api import FAULT, Api, build_api, logger
from artifact_flow.serving.edition import Edition
from artifact_flow.serving.headers import Headers, ResponseHeaders
from artifact_flow.serving.key import ApiKey
from artifact_flow.serving.lifespan import Resources
from artifact_flow.serving.limits import Admission
from artifact_flow.serving.logs import RequestRecord
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.orders import FindSettings, find_opened, find_ordered
from artifact_flow.serving.origins import Fields, Origins
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.reload import Reloader
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.trace import read_trace

WATCH_SECONDS = 5.0  # between two looks whether a point of the drift's history is due
STARTUP_FAILURE = 3  # uvicorn's exit code for a failed start: the supervisor does not restart such a worker


class Service:
    """The service as one ASGI application over its resources, limits and endpoints."""

    def __init__(self, settings: ServiceSettings, find: FindSettings, missed: Sequence[int] = ()) -> None:
        """Open the models and build their endpoints; `find` returns the settings that a reload opens.

        If `missed` contains a signal when the service starts, it reloads at once.
        """
        self.settings = settings
        self.resources, self.admission = Resources(settings), Admission(settings)
        self.origins, self.key = Origins(settings), ApiKey(settings.api_key)
        self.use(build_api(Edition(settings, self.resources)))
        self.api.edition.announce()
        self.reloader = Reloader(self.api, find, self.use, missed)
        self.lifespan = Starlette(lifespan=self._run)

    def use(self, api: Api) -> None:
        """Answer requests that arrive from now on with this API."""
        self.api = api
        self.headers = ResponseHeaders(api.edition.models.values(), api.edition.settings.commit, api.predictions)

    @asynccontextmanager
    async def _run(self, app: Starlette) -> AsyncIterator[None]:
        async with self.resources.run(app):
            watch = asyncio.create_task(self._watch_drift())
            yield
            watch.cancel()
            self.api.edition.close()

    async def _watch_drift(self) -> None:
        """Record the drift of all models from time to time, asked or not."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.api.edition.record_drift()
            except Exception:
                logger.exception("internal error while recording drift")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, then count it and log it if it asked for a prediction."""
        if scope["type"] != "http":
            self.reloader.listen()
            await self.lifespan(scope, receive, send)
            return
        api, headers = self.api, self.headers  # a reload replaces them, but not for this request
        started, when = time.perf_counter(), time.time()
        path: str = scope["path"]
        model, endpoint = _find_model(api, path)
        fields = dict(scope["headers"])
        request_id = headers.request_id(fields)
        scope["request_id"] = request_id.decode()
        trace = read_trace(scope) if b"traceparent" in fields else None
        self.admission.in_flight += 1
        meters.IN_FLIGHT.inc()
        status, message = 500, ""
        try:
            try:
                response = await self._predict(api, scope, receive, fields)
            except Problem as problem:
                message, response = problem.sentence, problem.response(path)
            added = headers.build(path, model, request_id, self.resources.draining)
            if trace:
                added.append((b"traceparent", trace.header))
            if response is None:
                status = await _pass_on(api, scope, receive, send, added)
            else:
                status = response.status_code
                response.raw_headers += added
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
            if endpoint in api.predictions:
                rows, answers = scope.get("answered", ((), ()))
                window, name = api.edition.routes[model.name].window, scope["request_id"]
                text = message or ("prediction" if answers else "refused")
                record = RequestRecord(when, path, status, seconds, name, model, window, rows, answers, text, trace)
                self.resources.log.put(record)

    def count_error(self, status: int) -> None:
        """Count a request that was refused or failed."""
        meters.error_meter(status)()

    async def _predict(self, api: Api, scope: Scope, receive: Receive, fields: Fields) -> Response | None:
        """Return the response of a prediction endpoint, None for any other path; raise Problem."""
        self.admission.check(scope)
        self.origins.check(scope, fields)
        self.key.check(scope, fields)
        endpoint = api.predictions.get(scope["path"]) if scope["method"] == "POST" else None
        if endpoint is None:
            return None
        try:
            return await endpoint(Request(scope, receive))
        except Problem:
            raise
        except Exception as error:
            logger.exception("internal error while answering %s", scope["path"])
            raise Problem(500, FAULT) from error


def create(find: FindSettings = find_ordered) -> ASGIApp:
    """Return the service that the environment describes; on an invalid one, end the process with one sentence.

    `find` returns the settings that a reload opens: for a worker, those that its supervisor found.
    """
    missed: list[int] = []  # signals until the service listens to them
    signal.signal(signal.SIGHUP, lambda number, _: missed.append(number))
    try:
        return Service(find_opened(), find, missed)
    except ArtifactFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(STARTUP_FAILURE)


async def _pass_on(api: Api, scope: Scope, receive: Receive, send: Send, headers: Headers) -> int:
    """Let FastAPI answer with these headers added; return the status."""
    status = 500

    async def send_with_headers(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    await api.app(scope, receive, send_with_headers)
    return status


def _find_model(api: Api, path: str) -> tuple[ServedModel, str]:
    """Return the model of a path, and the path as a metric's label: without names that a client may choose."""
    if path in api.models:
        return api.models[path], path
    return api.edition.first, "/static" if path.startswith("/static") else "other"
