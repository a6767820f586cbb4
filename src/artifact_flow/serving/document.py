"""Document: a model's endpoints in the OpenAPI document, with its column names, their ranges and a valid example."""

from functools import partial
from typing import Any

from fastapi import FastAPI

from artifact_flow.serving.answers import AnswerTypes, DriftReport, ModelCard
from artifact_flow.serving.explain import Explanation, Explanations
from artifact_flow.serving.media import CSV, JSON, LINES
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.problems import STATUS_MEANINGS, ProblemDetail
from artifact_flow.serving.routes import Endpoint, ModelRoutes
from artifact_flow.serving.schema import DESCRIBED_COLUMNS, describe_row

VALUE_BYTES = 32  # of a long number in JSON, with the marks around it and its name
COMPONENTS = "#/components/schemas/"


def describe_api(api: FastAPI, prefix: str, routes: ModelRoutes, types: AnswerTypes) -> dict[str, Endpoint]:
    """Add a model's endpoints under a path prefix; return path → endpoint."""
    return (
        _add_predictions(api, prefix, routes, types)
        | _add_descriptions(api, prefix, routes)
        | _add_explanations(api, prefix, routes, types)
    )


def describe_rows(model: ServedModel, types: AnswerTypes, max_bytes: int) -> dict[str, Any]:
    """Return the schemas of a model's row and of its batch, by the names that requests refer to."""
    rows = model.rows
    most = max(1, min(rows.max_rows, max_bytes // sum(len(name) + VALUE_BYTES for name in rows.names)))
    row = describe_row(rows, model.find_limit()) | {"title": types.row}
    batch = {"type": "array", "items": {"$ref": COMPONENTS + types.row}, "minItems": 1, "maxItems": most}
    return {types.row: row, f"{types.row}s": batch | {"title": f"{types.row}s"}}


def _add_predictions(api: FastAPI, prefix: str, routes: ModelRoutes, types: AnswerTypes) -> dict[str, Endpoint]:
    model = routes.model
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
    bodies = _request_bodies(routes, types)
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
                200: {"model": types.many if path == "/predict/batch" else types.one, "description": "The prediction"},
                **problems(400, 401, 408, 413, 415, 422, 500, 503),
            },
            openapi_extra={"parameters": [weights], "requestBody": {"required": True, "content": bodies[path]}},
        )
    return {prefix + path: endpoint for path, endpoint in endpoints.items()}


def _request_bodies(routes: ModelRoutes, types: AnswerTypes) -> dict[str, dict[str, Any]]:
    """Return path → media type → schema of what is sent, with an example unless the columns are too many."""
    rows = routes.model.rows
    example, array = rows.example(), f"{COMPONENTS}{types.row}s"
    shown = len(example) <= DESCRIBED_COLUMNS
    table = f"a header with the columns' names, then 1 to {rows.max_rows} rows; separated by {rows.form.separator!r}"
    lines = ",".join(map(str, example)) + "\n" + ",".join(_cell(value) for value in example.values()) + "\n"
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    return {
        "/predict": {JSON: {"schema": {"$ref": COMPONENTS + types.row}, **({"example": example} if shown else {})}},
        "/predict/batch": {
            JSON: {
                "schema": {"$ref": array},
                **({"example": [example, example]} if shown else {}),
            },
            CSV: {"schema": {"type": "string", "description": table}, **({"example": lines} if shown else {})},
            LINES: {"schema": {"type": "string", "description": "rows as JSON objects, one on each line"}},
        },
        "/predict/image": {
            **{f"image/{kind}": {"schema": binary} for kind in ("png", "jpeg", "webp")},
            "multipart/form-data": {"schema": form},
        },
    }


def _add_descriptions(api: FastAPI, prefix: str, routes: ModelRoutes) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for path, endpoint, kind, summary in (
        ("/model", routes.card, ModelCard, "The model card: contract, metrics, commit, hashes"),
        ("/drift", routes.drift, DriftReport, "Drift of the most recent rows from the training rows"),
    ):
        api.add_api_route(
            prefix + path,
            endpoint,
            methods=["GET"],
            response_model=None,
            tags=[routes.model.name],
            summary=summary,
            operation_id=_operation_id(path, prefix),
            responses={200: {"model": kind, "description": summary}, **problems(401, 503)},
        )
        found[prefix + path] = endpoint
    return found


def _add_explanations(api: FastAPI, prefix: str, routes: ModelRoutes, types: AnswerTypes) -> dict[str, Endpoint]:
    explanations, bodies = Explanations(routes), _request_bodies(routes, types)
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
                **problems(400, 401, 408, 413, 415, 422, 500, 503),
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


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of error responses by status."""
    return {status: {"model": ProblemDetail, "description": STATUS_MEANINGS[status]} for status in statuses}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n\r') else text
