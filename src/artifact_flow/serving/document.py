"""Document: a model's endpoints in the OpenAPI document, with its column names, their ranges and a valid example."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import getdoc
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from artifact_flow.serving.answers import AnswerTypes, DriftReport, ModelCard
from artifact_flow.serving.explain import Explanation, Explanations
from artifact_flow.serving.media import CSV, JSON, LINES
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.problems import STATUS_MEANINGS, ProblemDetail
from artifact_flow.serving.routes import Endpoint, ModelRoutes
from artifact_flow.serving.schema import DESCRIBED_COLUMNS, describe_row

VALUE_BYTES = 32  # of a long number in JSON, with the marks around it and its name
COMPONENTS = "#/components/schemas/"
POSTED = (400, 401, 408, 413, 415, 422, 500, 503)  # what a request with a body may be answered with

Bodies = dict[str, dict[str, Any]]  # path → media type → schema of what is sent


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of error responses by status."""
    return {status: {"model": ProblemDetail, "description": STATUS_MEANINGS[status]} for status in statuses}


@dataclass(frozen=True)
class Described:
    """An endpoint of a model with its description; it takes a POST if `request` says of what, else a GET."""

    endpoint: Endpoint
    summary: str
    answer: type[BaseModel] | dict[str, Any]  # the type of the JSON, or media type → schema
    answered: str
    statuses: tuple[int, ...] = (401, 503)
    request: dict[str, Any] | None = None
    failures: Callable[..., dict[int | str, dict[str, Any]]] = problems
    predicts: bool = False


def describe_api(
    api: FastAPI, prefix: str, routes: ModelRoutes, types: AnswerTypes, invocations: bool
) -> dict[str, Described]:
    """Add a model's endpoints under a path prefix, /invocations only if wanted; return path → what was added."""
    bodies = _request_bodies(routes, types)
    found = _predictions(routes, types, bodies) | _descriptions(routes) | _explanations(routes, bodies)
    if not invocations:
        del found["/invocations"]
    return add_endpoints(api, prefix, routes.model.name, found)


def add_endpoints(api: FastAPI, prefix: str, tag: str, found: Mapping[str, Described]) -> dict[str, Described]:
    """Add endpoints under a path prefix; return path → what was added."""
    for path, described in found.items():
        said = "content" if isinstance(described.answer, dict) else "model"
        api.add_api_route(
            prefix + path,
            described.endpoint,
            methods=["POST" if described.request else "GET"],
            response_model=None,
            response_class=Response,
            tags=[tag],
            summary=described.summary,
            description=getdoc(getattr(described.endpoint, "func", described.endpoint)),  # a partial has its own
            operation_id=f"{path[1:] or 'metadata'}{prefix}".replace("/", "_").replace(".", "_"),
            responses={
                200: {said: described.answer, "description": described.answered},
                **described.failures(*described.statuses),
            },
            openapi_extra=described.request,
        )
    return {prefix + path: described for path, described in found.items()}


def describe_rows(model: ServedModel, types: AnswerTypes, max_bytes: int) -> dict[str, Any]:
    """Return the schemas of a model's row and of its batch, by the names that requests refer to."""
    rows = model.rows
    most = max(1, min(rows.max_rows, max_bytes // sum(len(name) + VALUE_BYTES for name in rows.names)))
    row = describe_row(rows, model.find_limit(), model.legend) | {"title": types.row}
    batch = {"type": "array", "items": {"$ref": COMPONENTS + types.row}, "minItems": 1, "maxItems": most}
    return {types.row: row, f"{types.row}s": batch | {"title": f"{types.row}s"}}


def describe_requests(*types: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of request bodies that are the same for all models, by the names that requests refer to."""
    found: dict[str, Any] = {}
    for kind in types:
        schema = kind.model_json_schema(ref_template=COMPONENTS + "{model}")
        found |= schema.pop("$defs", {}) | {kind.__name__: schema}
    return found


def _predictions(routes: ModelRoutes, types: AnswerTypes, bodies: Bodies) -> dict[str, Described]:
    model = routes.model

    def describe(path: str, endpoint: Endpoint, summary: str, answer: type[BaseModel]) -> dict[str, Described]:
        request = {"parameters": [describe_weights(model)], "requestBody": {"required": True, "content": bodies[path]}}
        return {path: Described(endpoint, summary, answer, "The prediction", POSTED, request, predicts=True)}

    many = "Predict rows: JSON array, JSON lines or CSV"
    found = describe("/predict", routes.predict, "Predict one row", types.one)
    found |= describe("/predict/batch", routes.predict_batch, many, types.many)
    found |= describe("/invocations", routes.invoke, "Predict rows as an MLflow scoring server takes them", types.many)
    if model.grid:
        image = partial(routes.predict_image, model.grid)
        found |= describe("/predict/image", image, "Predict an image of any size: PNG, JPEG or WebP", types.one)
    return found


def describe_weights(model: ServedModel) -> dict[str, Any]:
    """Return the description of the query parameter that chooses the weights of a model."""
    return {
        "name": "weights",
        "in": "query",
        "description": "the set of weights that predicts",
        "schema": {"type": "string", "enum": list(model.weights), "default": "float"},
    }


def _request_bodies(routes: ModelRoutes, types: AnswerTypes) -> Bodies:
    """Return path → media type → schema of what is sent, with an example unless the columns are too many."""
    rows = routes.model.rows
    example, array = rows.example(), f"{COMPONENTS}{types.row}s"
    shown = len(example) <= DESCRIBED_COLUMNS
    table = f"a header with the columns' names, then 1 to {rows.max_rows} rows; separated by {rows.form.separator!r}"
    lines = ",".join(map(str, example)) + "\n" + ",".join(_cell(value) for value in example.values()) + "\n"
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    table_content = {"schema": {"type": "string", "description": table}, **({"example": lines} if shown else {})}
    return {
        "/predict": {JSON: {"schema": {"$ref": COMPONENTS + types.row}, **({"example": example} if shown else {})}},
        "/predict/batch": {
            JSON: {
                "schema": {"$ref": array},
                **({"example": [example, example]} if shown else {}),
            },
            CSV: table_content,
            LINES: {"schema": {"type": "string", "description": "rows as JSON objects, one on each line"}},
        },
        "/invocations": {
            JSON: {
                "schema": {"$ref": f"{COMPONENTS}Invocation"},
                **({"example": {"dataframe_records": [example]}} if shown else {}),
            },
            CSV: table_content,
        },
        "/predict/image": {
            **{f"image/{kind}": {"schema": binary} for kind in ("png", "jpeg", "webp")},
            "multipart/form-data": {"schema": form},
        },
    }


def _descriptions(routes: ModelRoutes) -> dict[str, Described]:
    card = "The model card: contract, metrics, commit, hashes"
    drift = "Drift of the most recent rows from the training rows"
    return {
        "/model": Described(routes.card, card, ModelCard, card),
        "/drift": Described(routes.drift, drift, DriftReport, drift),
        **{
            f"/papers/{name}": Described(
                partial(routes.show_paper, paper),
                paper.form.title,
                {paper.form.media: {"schema": paper.form.schema}},
                paper.form.title,
            )
            for name, paper in routes.model.papers.items()
        },
    }


def _explanations(routes: ModelRoutes, bodies: Bodies) -> dict[str, Described]:
    explanations = Explanations(routes)

    def describe(path: str, endpoint: Endpoint, summary: str) -> dict[str, Described]:
        body = bodies[path.replace("explain", "predict")]
        content = {kind: schema for kind, schema in body.items() if kind != "multipart/form-data"}
        request = {"requestBody": {"required": True, "content": content}}
        return {path: Described(endpoint, summary, Explanation, "The explanation", POSTED, request)}

    found = describe("/explain", explanations.explain_row, "What each column did to the prediction for one row")
    if routes.model.grid:
        image = partial(explanations.explain_image, routes.model.grid)
        found |= describe("/explain/image", image, "What the model sees of an image, and what each pixel did")
    return found


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n\r') else text
