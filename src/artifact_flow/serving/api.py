"""Api: every endpoint of the service as one FastAPI application with its OpenAPI document."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from artifact_flow.serving import meters
from artifact_flow.serving.answers import AnswerTypes, Invocation, build_types, name_types
from artifact_flow.serving.document import Described, describe_api, describe_requests, describe_rows, problems
from artifact_flow.serving.edition import Edition
from artifact_flow.serving.inference import InferenceRequest, describe_inference, describe_protocol
from artifact_flow.serving.key import PUBLIC, SCHEMES
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.routes import Endpoint
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.supervisor import count_absent

STATIC = Path(__file__).parent / "static"
FAULT = "internal error: the service's log has the details."

logger = logging.getLogger("artifact_flow.serving")


@dataclass(frozen=True)
class Api:
    """The FastAPI application, and what the service looks up by path before it."""

    app: FastAPI
    edition: Edition
    predictions: dict[str, Endpoint] = field(default_factory=dict)  # path → prediction endpoint
    models: dict[str, ServedModel] = field(default_factory=dict)  # path of every endpoint → the model it belongs to

    def add(self, model: ServedModel, found: Mapping[str, Described]) -> None:
        """Add endpoints of a model, by path."""
        self.models.update(dict.fromkeys(found, model))
        self.predictions.update({path: described.endpoint for path, described in found.items() if described.predicts})


def build_api(edition: Edition) -> Api:
    """Return the application with each model's endpoints; those of the first model are also at the root."""
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host that a client sent
        static_url="/static/docs",
        title="artifact-flow",
        version=edition.settings.commit[:12],
        separate_input_output_schemas=False,
        swagger_ui_oauth2_redirect_url="/docs/oauth2",
        description="Predictions of models that can be reproduced from one commit. Every response carries "
        "X-Request-ID, X-Model-SHA256 and X-Commit.",
    )
    for kind in (HTTPException, Problem, Exception):
        app.add_exception_handler(kind, answer_error)
    api = Api(app, edition)
    single = len(edition.models) == 1
    names, described = name_types(edition.models), list[tuple[ServedModel, AnswerTypes]]()
    for number, (name, routes) in enumerate(edition.routes.items()):
        types = build_types(routes.model, names[name])
        described.append((routes.model, types))
        for prefix in ["", f"/models/{name}"] if number == 0 else [f"/models/{name}"]:
            api.add(routes.model, describe_api(app, prefix, routes, types, bool(prefix) or single))
        api.add(routes.model, describe_inference(app, routes))
    if not single:
        _refuse_invocations(app, edition)
    for path in ("/", "/health", "/ready", "/metrics", "/models", *_describe_service(app, edition)):
        api.models[path] = edition.first
    _complete_document(app, described, edition.settings)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return api


async def answer_error(request: Request, error: Exception) -> Response:
    """Return the response to a request that raised `error`: a status and one sentence."""
    path = request.url.path
    if isinstance(error, Problem):
        return error.response(path)
    if isinstance(error, HTTPException):
        sentences = {
            404: f"there is no endpoint {path[:100]}: /docs lists the endpoints.",
            405: f"{path[:100]} does not accept {request.method[:20]}: /docs lists the methods it accepts.",
        }
        sentence = sentences.get(error.status_code, str(error.detail))
        return Problem(error.status_code, sentence, dict(error.headers or {})).response(path)
    logger.error("internal error while answering %s", path, exc_info=error)
    return Problem(500, FAULT).response(path)


def _complete_document(
    app: FastAPI, described: list[tuple[ServedModel, AnswerTypes]], settings: ServiceSettings
) -> None:
    """Add what requests refer to and, if a key is needed, where it is sent, to the OpenAPI document.

    That is done when the document is asked for: to find the range of the numbers, the models predict.
    """
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = describe()
        document["components"]["schemas"] |= describe_requests(InferenceRequest, Invocation)
        for model, types in described:
            document["components"]["schemas"] |= describe_rows(model, types, settings.max_bytes)
        if settings.api_key is not None:
            document["components"]["securitySchemes"] = SCHEMES
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path in PUBLIC else [{name: []} for name in SCHEMES]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _refuse_invocations(app: FastAPI, edition: Edition) -> None:
    """Add an answer to MLflow's clients that do not name one of several models."""

    @app.post("/invocations", include_in_schema=False)
    async def invocations() -> None:
        paths = " or ".join(f"/models/{name}/invocations" for name in edition.models)
        raise Problem(404, f"this service has {len(edition.models)} models: post to {paths}.")


def _describe_service(app: FastAPI, edition: Edition) -> list[str]:
    """Add the endpoints that belong to no model; return the paths of those that have protocols of their own."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    @app.head("/health", include_in_schema=False)
    @app.get("/ping", include_in_schema=False)  # what MLflow's clients and SageMaker ask
    @app.get("/health", tags=["service"], summary="Whether the process is alive", operation_id="health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.head("/ready", include_in_schema=False)
    @app.get(
        "/ready",
        tags=["service"],
        summary="Whether the models are loaded and predict",
        operation_id="ready",
        responses=problems(503),
    )
    async def ready() -> dict[str, str]:
        if edition.resources.draining:
            raise Problem(503, "the service is shutting down: use another replica.", {"Retry-After": "1"})
        if absent := count_absent():
            raise Problem(503, f"{absent} of {edition.settings.workers} workers cannot start: see the service's log.")
        for model in edition.models.values():
            model.check()
        notice, changed = edition.resources.notice, await asyncio.to_thread(edition.disk.find_change)
        if not notice and changed:
            notice = f"{changed.name} on disk is not the one in use: SIGHUP loads it after checking its hash."
        return {"status": "ready", **({"notice": notice} if notice else {})}

    @app.get(
        "/models",
        tags=["service"],
        summary="Names of the models; the first is also at the root",
        operation_id="models",
        responses=problems(401, 503),
    )
    async def models() -> list[str]:
        return list(edition.models)

    @app.get(
        "/metrics",
        tags=["service"],
        summary="Metrics in the Prometheus text format",
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 503)},
    )
    async def metrics() -> Response:
        def work() -> bytes:
            return meters.render(lambda: ((name, routes.measure()) for name, routes in edition.routes.items()))

        return Response(await asyncio.to_thread(work), headers={"content-type": meters.CONTENT_TYPE})

    return ["/ping", *describe_protocol(app, edition.settings.commit, ready)]
