"""Document: a model's endpoints in the OpenAPI document, with its column names, their ranges and a valid example."""

from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import create_model

from artifact_flow.serving.explain import Explanation, Explanations
from artifact_flow.serving.problems import STATUS_MEANINGS, ProblemDetail
from artifact_flow.serving.routes import CSV, JSON, LINES, Endpoint, ModelRoutes
from artifact_flow.serving.rows import DESCRIBED_COLUMNS

ANY_OBJECT = {"type": "object"}


def describe_api(api: FastAPI, prefix: str, routes: ModelRoutes) -> dict[str, Endpoint]:
    """Add a model's endpoints under a path prefix; return path → endpoint."""
    return (
        _add_predictions(api, prefix, routes)
        | _add_descriptions(api, prefix, routes)
        | _add_explanations(api, prefix, routes)
    )


def _add_predictions(api: FastAPI, prefix: str, routes: ModelRoutes) -> dict[str, Endpoint]:
    model, answer = routes.model, routes.model.answer_type()
    batch = create_model(f"Answers_{model.name}", predictions=(list[answer], ...))  # type: ignore[valid-type]
    weights = {
        "name": "weights",
        "in": "query",
        "description": "the set of weights that predicts",
        "schema": {"type": "string", "enum": list(model.weights), "default": "float"},
    }
    about = {"/predict": "Predict one row", "/predict/batch": "Predict rows: JSON array, JSON lines or CSV"}
    endpoints: dict[str, Endpoint] = {"/predict": routes.predict, "/predict/batch": routes.predict_batch}
    if model.grid:
        about["/predict/image"] = "Predict an image of any size: PNG, JPEG or WebP"
        endpoints["/predict/image"] = partial(routes.predict_image, model.grid)
    bodies = _request_bodies(routes)
    for path, endpoint in endpoints.items():
        api.add_api_route(
            prefix + path,
            endpoint,
            methods=["POST"],
            response_model=None,
            tags=[model.name],
            summary=about[path],
            operation_id=_operation_id(path, prefix),
            responses={
                200: {"model": batch if path == "/predict/batch" else answer, "description": "The prediction"},
                **_problems(401, 408, 413, 415, 422, 500, 503),
            },
            openapi_extra={"parameters": [weights], "requestBody": {"required": True, "content": bodies[path]}},
        )
    return {prefix + path: endpoint for path, endpoint in endpoints.items()}


def _request_bodies(routes: ModelRoutes) -> dict[str, dict[str, Any]]:
    """Return path → media type → schema of what is sent, with an example unless the columns are too many."""
    rows = routes.model.rows
    row, example = rows.schema(), rows.example()
    shown = len(example) <= DESCRIBED_COLUMNS
    array = {"type": "array", "items": row, "minItems": 1, "maxItems": rows.max_rows}
    lines = ",".join(map(str, example)) + "\n" + ",".join(_cell(value) for value in example.values()) + "\n"
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    return {
        "/predict": {JSON: {"schema": row, **({"example": example} if shown else {})}},
        "/predict/batch": {
            JSON: {"schema": array, **({"example": [example, example]} if shown else {})},
            CSV: {"schema": {"type": "string"}, **({"example": lines} if shown else {})},
            LINES: {"schema": {"type": "string"}},
        },
        "/predict/image": {
            **{f"image/{kind}": {"schema": binary} for kind in ("png", "jpeg", "webp")},
            "multipart/form-data": {"schema": form},
        },
    }


def _add_descriptions(api: FastAPI, prefix: str, routes: ModelRoutes) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for path, endpoint, summary in (
        ("/model", routes.card, "The model card: contract, metrics, commit, hashes"),
        ("/drift", routes.drift, "Drift of the most recent rows from the training rows"),
    ):
        api.add_api_route(
            prefix + path,
            endpoint,
            methods=["GET"],
            response_model=None,
            tags=[routes.model.name],
            summary=summary,
            operation_id=_operation_id(path, prefix),
            responses={200: {"content": {JSON: {"schema": ANY_OBJECT}}}, **_problems(401, 503)},
        )
        found[prefix + path] = endpoint
    return found


def _add_explanations(api: FastAPI, prefix: str, routes: ModelRoutes) -> dict[str, Endpoint]:
    explanations, bodies = Explanations(routes), _request_bodies(routes)
    about = {"/explain": "What each column did to the prediction for one row"}
    endpoints: dict[str, Endpoint] = {"/explain": explanations.explain_row}
    if routes.model.grid:
        about["/explain/image"] = "What the model sees of an image, and what each pixel did"
        endpoints["/explain/image"] = partial(explanations.explain_image, routes.model.grid)
    for path, endpoint in endpoints.items():
        content = bodies[path.replace("explain", "predict")]
        api.add_api_route(
            prefix + path,
            endpoint,
            methods=["POST"],
            response_model=None,
            tags=[routes.model.name],
            summary=about[path],
            operation_id=_operation_id(path, prefix),
            responses={
                200: {"model": Explanation, "description": "The explanation"},
                **_problems(401, 408, 413, 415, 422, 500, 503),
            },
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {kind: what for kind, what in content.items() if kind != "multipart/form-data"},
                }
            },
        )
    return {prefix + path: endpoint for path, endpoint in endpoints.items()}


def _operation_id(path: str, prefix: str) -> str:
    return f"{path[1:]}{prefix}".replace("/", "_")


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ProblemDetail, "description": STATUS_MEANINGS[status]} for status in statuses}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n\r') else text
