"""Inference: the endpoints of the Open Inference Protocol, version 2, and their types in the OpenAPI document.

https://github.com/kserve/open-inference-protocol, without versions of models and without extensions.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from artifact_flow.serving.document import POSTED, Described, add_endpoints, describe_weights
from artifact_flow.serving.media import JSON
from artifact_flow.serving.problems import PROTOCOL, STATUS_MEANINGS, InferenceError
from artifact_flow.serving.routes import JsonResponse, ModelRoutes
from artifact_flow.serving.schema import DESCRIBED_COLUMNS
from artifact_flow.serving.tensors import describe_inputs, describe_outputs

PLATFORM = "onnx_onnxv1"
REFUSED = tuple(status for status in POSTED if status != 422)  # the protocol has 400 for what a model does not accept
MEANINGS = STATUS_MEANINGS | {400: "The request is not valid HTTP, is incomplete, or is not what the model accepts"}

Datatype = Literal[
    "BOOL", "BYTES", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"
]


class ServerLive(BaseModel):
    """Whether the process is alive."""

    live: bool


class ServerReady(BaseModel):
    """Whether all models are loaded and predict."""

    ready: bool


class ServerMetadata(BaseModel):
    """What the service is."""

    name: str
    version: str = Field(description="the commit of its build")
    extensions: list[str]


class TensorMetadata(BaseModel):
    """What is known of a tensor before a request."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1 is any number of rows")


class ModelMetadata(BaseModel):
    """The tensors that a model takes and returns."""

    name: str
    platform: str
    inputs: list[TensorMetadata] = Field(description="one for each column")
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """Whether a model predicts."""

    name: str
    ready: bool


class InferenceInput(BaseModel):
    """A column, or the matrix of all columns if they are numbers."""

    name: str = Field(description="the column's; of a matrix any")
    shape: list[int] = Field(min_length=1, max_length=2, description="[rows] or [rows, 1], of a matrix [rows, columns]")
    datatype: Datatype
    parameters: dict[str, Any] | None = None
    data: list[Any] = Field(description="values row by row, null if missing; flat, or a list for each row")


class InferenceRequestedOutput(BaseModel):
    """A tensor that the response shall have."""

    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(BaseModel):
    """Rows as tensors."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[InferenceInput] = Field(min_length=1)
    outputs: list[InferenceRequestedOutput] | None = Field(None, description="all if there are none")


class InferenceOutput(BaseModel):
    """A tensor of the predictions."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[float | int | str] = Field(description="row by row")


class InferenceResponse(BaseModel):
    """Predictions as tensors."""

    model_config = {"protected_namespaces": ()}

    model_name: str
    id: str | None = Field(None, description="of the request, if it has one")
    outputs: list[InferenceOutput]


class ModelEndpoints:
    """The endpoints of one model that the protocol has besides inference."""

    def __init__(self, routes: ModelRoutes) -> None:
        """Take the model's other endpoints."""
        self.model = routes.model
        self._metadata = orjson.dumps(
            {
                "name": self.model.name,
                "platform": PLATFORM,
                "inputs": [asdict(tensor) for tensor in describe_inputs(self.model)],
                "outputs": [asdict(tensor) for tensor in describe_outputs(self.model)],
            }
        )

    async def metadata(self, request: Request) -> Response:
        """Return the tensors of the model."""
        return JsonResponse(self._metadata)

    async def ready(self, request: Request) -> Response:
        """Return whether the model predicts."""
        self.model.check()
        return JsonResponse(orjson.dumps({"name": self.model.name, "ready": True}))


def describe_inference(app: FastAPI, routes: ModelRoutes) -> dict[str, Described]:
    """Add the protocol's endpoints of a model; return path → what was added."""
    describe = partial(Described, failures=describe_failures)
    endpoints, model = ModelEndpoints(routes), routes.model
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/InferenceRequest"}}
    example = model.rows.example()
    if len(example) <= DESCRIBED_COLUMNS:
        inputs = [
            {"name": tensor.name, "shape": [1], "datatype": tensor.datatype, "data": [example[tensor.name]]}
            for tensor in describe_inputs(model)
        ]
        content["example"] = {"inputs": inputs}
    request = {"parameters": [describe_weights(model)], "requestBody": {"required": True, "content": {JSON: content}}}
    known = "The tensors of a model"
    found = {
        "": describe(endpoints.metadata, known, ModelMetadata, known),
        "/ready": describe(endpoints.ready, "Whether a model predicts", ModelReady, "It does", (401, 500, 503)),
        "/infer": describe(
            routes.infer,
            "Predict rows: the Open Inference Protocol's infer",
            InferenceResponse,
            "The predictions",
            REFUSED,
            request,
            predicts=True,
        ),
    }
    return add_endpoints(app, f"{PROTOCOL}/models/{model.name}", model.name, found)


def describe_protocol(app: FastAPI, commit: str, ready: Callable[[], Awaitable[Any]]) -> list[str]:
    """Add the protocol's endpoints of the service; `ready` raises Problem unless it is. Return their paths."""

    async def live() -> ServerLive:
        return ServerLive(live=True)

    async def check_ready() -> ServerReady:
        await ready()
        return ServerReady(ready=True)

    async def metadata() -> ServerMetadata:
        return ServerMetadata(name="artifact-flow", version=commit[:12], extensions=[])

    for path, endpoint, summary, statuses in (
        ("/health/live", live, "Whether the process is alive", ()),
        ("/health/ready", check_ready, "Whether all models predict", (503,)),
        ("", metadata, "Name and version of the service", (401, 503)),
    ):
        app.add_api_route(
            PROTOCOL + path,
            endpoint,
            tags=["service"],
            summary=f"{summary} (Open Inference Protocol)",
            operation_id=f"v2{path.replace('/', '_')}",
            responses=describe_failures(*statuses),
        )
    return [PROTOCOL, f"{PROTOCOL}/health/live", f"{PROTOCOL}/health/ready"]


def describe_failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the protocol's error responses by status."""
    return {status: {"model": InferenceError, "description": MEANINGS[status]} for status in statuses}
