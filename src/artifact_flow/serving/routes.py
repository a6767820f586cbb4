"""Routes: the endpoints of one model."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from artifact_flow.core.base.encoding import measure_rows
from artifact_flow.serving import meters
from artifact_flow.serving.drift import MIN_ROWS, Drift, measure_drift
from artifact_flow.serving.images import Grid, read_pixels
from artifact_flow.serving.invocations import read_invocation
from artifact_flow.serving.limits import ROW_BYTES, BodyMemory, SlowLane, read_body
from artifact_flow.serving.media import CSV, FORM, JSON, LINES, check_media, choose_parameter
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.papers import Paper
from artifact_flow.serving.plain import Parsed
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.shadow import Shadow
from artifact_flow.serving.shapes import check_columns, check_csv, check_json, check_lines
from artifact_flow.serving.tensors import Inference
from artifact_flow.serving.window import Window

Endpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[bytes, int, int], None]
Answers = list[dict[str, Any]]

ROW_TYPES, ONE_ROW = (JSON, FORM), f"a JSON object as {JSON}"
LOGGED_PIXELS = 256  # of an image; the log describes a larger one by its statistics only
DRIFT_SECONDS = 5.0  # for which a measured drift is kept


class Kind(NamedTuple):
    """What a batch may be: in words, how its size is checked, and how it is read."""

    words: str
    check: Check
    read: Callable[[bytes], Parsed]


class JsonResponse(Response):
    """A successful response in JSON, built without Starlette's general handling of headers, which is slower."""

    def __init__(self, body: bytes) -> None:
        """Take the body, which is JSON."""
        self.status_code, self.body, self.background = 200, body, None
        length = str(len(body)).encode()
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", length)]


class ModelRoutes:
    """The endpoints of one model."""

    def __init__(
        self, model: ServedModel, window: Window, slow: SlowLane, memory: BodyMemory, settings: ServiceSettings
    ) -> None:
        """Take the model, the window that remembers its rows, and the service's limits."""
        self.model, self.window, self.slow, self.memory, self.settings = model, window, slow, memory, settings
        self.shadow: Shadow | None = None
        rows = model.rows
        array = Kind("a JSON array", check_json, rows.read_many)
        lines = Kind("JSON lines", check_lines, rows.read_lines)
        table = Kind("CSV with a header", check_csv, rows.read_csv)
        self.batches = {JSON: array, LINES: lines, "application/jsonl": lines, CSV: table}
        invocation = Kind("a JSON object", check_columns, partial(read_invocation, rows))
        self.invocations = {JSON: invocation, CSV: table}
        self._card = orjson.dumps(model.card(settings.commit))
        self._drift: tuple[float, Drift] | None = None
        self._places = {name: place for place, name in enumerate(rows.names)}

    async def predict(self, request: Request) -> Response:
        """Predict one row."""
        body = await self.read_row_body(request)
        weights = self.model.choose(_weights(request))
        row = self.model.rows.parse_one(body)
        X = self.model.rows.encode([row])
        answers = self.model.answer(self.model.predict(X, weights))
        self._remember(request, X, [row], answers)
        return JsonResponse(orjson.dumps(answers[0]))

    async def read_row_body(self, request: Request) -> bytes:
        """Return the body of a request about one row; raise Problem when it cannot be one."""
        check_media(request.scope, ROW_TYPES, ONE_ROW)
        body = await read_body(request, self.settings, self.memory, ROW_BYTES)
        check_json(body, len(self.model.rows.features), 1)
        return body

    async def predict_batch(self, request: Request) -> Response:
        """Predict rows: a JSON array, JSON lines or CSV."""
        return await self._answer_batch(request, self.batches, write_predictions)

    async def invoke(self, request: Request) -> Response:
        """Predict rows as an MLflow scoring server takes them."""
        return await self._answer_batch(request, self.invocations, write_predictions)

    async def infer(self, request: Request) -> Response:
        """Predict rows as the Open Inference Protocol has them."""
        if b"inference-header-content-length" in dict(request.scope["headers"]):
            raise Problem(415, "binary tensors are an extension that this service does not have: send data as JSON.")
        inference = Inference(self.model)
        kinds = {JSON: Kind("an inference request", check_columns, inference.read)}
        return await self._answer_batch(request, kinds, inference.write)

    async def _answer_batch(
        self, request: Request, kinds: Mapping[str, Kind], write: Callable[[Answers], bytes]
    ) -> Response:
        """Predict rows in a body of one of the kinds, by content type; `write` makes the response."""
        rows = self.model.rows
        accepted = ", ".join(f"{kind.words} as {name}" for name, kind in kinds.items())
        charsets = [rows.form.encoding.lower()] if rows.form.encoding else []
        media = check_media(request.scope, kinds, accepted, charsets)
        body = await read_body(request, self.settings, self.memory)
        weights = self.model.choose(_weights(request))

        def work() -> tuple[np.ndarray, Any, Answers, bytes]:
            kind = kinds[media.kind]
            kind.check(body, len(rows.features), self.settings.max_rows)
            parsed, X = rows.read_csv(body, media.charset) if media.kind == CSV else kind.read(body)
            answers = self.model.answer(self.model.predict(X, weights))
            return X, parsed, answers, write(answers)

        X, parsed, answers, content = await self.slow.run(work, media.kind, len(body))
        self._remember(request, X, parsed, answers)
        return JsonResponse(content)

    async def predict_image(self, grid: Grid, request: Request) -> Response:
        """Predict an image: the body itself, or the first file of a form."""
        body = await read_body(request, self.settings, self.memory)
        weights = self.model.choose(_weights(request))
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            body = await _first_file(request, body)

        def work() -> tuple[np.ndarray, list[dict[str, Any]]]:
            X = read_pixels(body, grid, self.settings.max_pixels)
            return X, self.model.answer(self.model.predict(X, weights))

        X, answers = await self.slow.run(work, "image")
        pixels = X[0].tolist()
        row = dict(zip(self.model.rows.features, pixels, strict=True)) if len(pixels) <= LOGGED_PIXELS else None
        self._remember(request, X, [row], answers)
        return JsonResponse(orjson.dumps(answers[0]))

    async def card(self, request: Request) -> Response:
        """Return the model card."""
        return JsonResponse(self._card)

    async def show_paper(self, paper: Paper, request: Request) -> Response:
        """Return a document about the model."""
        return Response(paper.content, media_type=paper.form.media)

    async def drift(self, request: Request) -> Response:
        """Return the drift of the most recent rows from the training rows."""

        def work() -> dict[str, Any]:
            self.record_drift()
            document = self.measure().document(meters.DRIFT_COLUMNS)
            return self.window.history.complete(document, self._places)

        return JsonResponse(orjson.dumps(await self.slow.run(work, "drift")))

    def record_drift(self) -> None:
        """Add a point to the history, if one is due and there are enough rows for a verdict."""
        now, added = time.time(), self.window.count_added()
        if added >= MIN_ROWS and self.window.history.claim(now, added):
            self._drift = None
            self.window.history.add(now, added, self.measure(), self._places)

    def measure(self) -> Drift:
        """Return the drift of the window's rows, measured at most once in DRIFT_SECONDS."""
        now, found = time.monotonic(), self._drift
        if found is None or now - found[0] > DRIFT_SECONDS:
            contract = self.model.contract
            found = now, measure_drift(contract.features, self.window.all_rows(), contract.rows["train"])
            self._drift = found
        return found[1]

    def _remember(self, request: Request, X: np.ndarray, rows: list[Any], answers: list[dict[str, Any]]) -> None:
        self.window.add(measure_rows(self.model.contract.features, X))
        if len(answers) == 1:
            meters.prediction_meter(self.model.name, answers[0].get("class_name", ""))(1)
        else:
            for name, count in Counter(answer.get("class_name", "") for answer in answers).items():
                meters.prediction_meter(self.model.name, name)(count)
        request.scope["answered"] = rows, answers
        if self.shadow:
            self.shadow.put(request.scope["request_id"], X, rows, answers, _weights(request))


def write_predictions(answers: Answers) -> bytes:
    """Return the response to a batch."""
    return orjson.dumps({"predictions": answers})


def _weights(request: Request) -> str:
    return choose_parameter(request.scope, "weights", "float")


async def _first_file(request: Request, body: bytes) -> bytes:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, receive).form(max_files=1, max_fields=4)
    except MultiPartException as error:
        raise Problem(422, f"the multipart form is invalid ({error.message}): send one file.") from error
    except Exception as error:
        raise Problem(422, "the multipart form is invalid: send one file.") from error
    files = [part for part in form.values() if isinstance(part, UploadFile)]
    if not files:
        raise Problem(422, "the multipart form contains no file: send one, or send the image as the request body.")
    return await files[0].read()
