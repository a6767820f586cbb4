"""Routes: what each address of a model answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from artifact_flow.serving import meters
from artifact_flow.serving.drift import Drift, measure_drift
from artifact_flow.serving.images import Grid, read_pixels
from artifact_flow.serving.model import Model
from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import Settings
from artifact_flow.serving.window import Window

Endpoint = Callable[[Request], Awaitable[Response]]

JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
KINDS = {JSON: "a JSON array", LINES: "JSON lines", "application/jsonl": "JSON lines", CSV: "CSV with a header"}
LOGGED_COLUMNS = 256  # of a picture: more are told by their statistics only
SMALL = 10_000  # bytes of a body that came in one piece: no room need be kept for it
READ_TO_REFUSE = 8  # times the size that a body may have: what is larger still is cut off
DRIFT_SECONDS = 5.0  # that a measured drift is good for


class Answer(Response):
    """A good answer in JSON, made without the general way that headers go."""

    def __init__(self, body: bytes) -> None:
        """Take the body."""
        self.status_code, self.body, self.background = 200, body, None
        length = str(len(body)).encode()
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", length)]


class SlowLane:
    """Work that would hold up the others: some at a time, some waiting, the rest refused."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing to do."""
        self.pool = ThreadPoolExecutor(settings.slow_at_once, "slow")
        self.limit, self.taken = settings.slow_at_once + settings.slow_waiting, 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, from another thread; raise Problem when too much is waiting."""
        if self.taken >= self.limit:
            raise Problem(503, "too many batches and pictures are waiting: try again later.", {"Retry-After": "1"})
        self.taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)
        finally:
            self.taken -= 1


class Room:
    """The bytes of bodies that are held at a time, so that many large ones at once do not fill the memory."""

    def __init__(self, settings: Settings) -> None:
        """Begin empty."""
        self.limit, self.held = settings.held_bytes, 0

    def take(self, scope: Scope, size: int) -> None:
        """Count a part of a request's body; raise Problem when there is no room for it."""
        if self.held + size > self.limit:
            close = {"Retry-After": "1", "Connection": "close"}
            raise Problem(503, "too many large bodies at a time: try again later.", close)
        self.held += size
        scope["held"] = scope.get("held", 0) + size

    def leave(self, scope: Scope) -> None:
        """Forget a request's body."""
        self.held -= scope.get("held", 0)


class ModelRoutes:
    """The addresses of one model."""

    def __init__(self, model: Model, window: Window, slow: SlowLane, room: Room, settings: Settings) -> None:
        """Take what the addresses answer from."""
        self.model, self.window, self.slow, self.room, self.settings = model, window, slow, room, settings
        self._card = orjson.dumps(model.card(settings.commit))
        self._drift: tuple[float, Drift] | None = None

    async def predict(self, request: Request) -> Response:
        """Answer one row."""
        body = await read_body(request, self.settings, self.room)
        weights = self.model.choose(_weights(request))
        row = self.model.rows.parse_one(body)
        X = self.model.rows.encode([row])
        answers = self.model.answer(self.model.predict(X, weights))
        self._remember(request, X, [row], answers)
        return Answer(orjson.dumps(answers[0]))

    async def predict_batch(self, request: Request) -> Response:
        """Answer rows: a JSON array, JSON lines or CSV."""
        kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind not in KINDS:
            taken = ", ".join(f"{words} as {name}" for name, words in KINDS.items())
            raise Problem(415, f"{kind[:60]!r} is not taken: send {taken}.")
        body = await read_body(request, self.settings, self.room)
        weights = self.model.choose(_weights(request))

        def work() -> tuple[np.ndarray, Any, list[dict[str, Any]], bytes]:
            rows = self.model.rows
            read = {JSON: rows.read_many, CSV: rows.read_csv}.get(kind, rows.read_lines)
            parsed, X = read(body)
            answers = self.model.answer(self.model.predict(X, weights))
            return X, parsed, answers, orjson.dumps({"predictions": answers})

        X, parsed, answers, content = await self.slow.run(work)
        self._remember(request, X, parsed, answers)
        return Answer(content)

    async def predict_image(self, grid: Grid, request: Request) -> Response:
        """Answer a picture: the body itself, or the first file of a form."""
        body = await read_body(request, self.settings, self.room)
        weights = self.model.choose(_weights(request))
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            body = await _first_file(request, body)

        def work() -> tuple[np.ndarray, list[dict[str, Any]]]:
            X = read_pixels(body, grid, self.settings.max_pixels)
            return X, self.model.answer(self.model.predict(X, weights))

        X, answers = await self.slow.run(work)
        pixels = X[0].tolist()
        row = dict(zip(self.model.rows.features, pixels, strict=True)) if len(pixels) <= LOGGED_COLUMNS else None
        self._remember(request, X, [row], answers)
        return Answer(orjson.dumps(answers[0]))

    async def card(self, request: Request) -> Response:
        """Answer the model card."""
        return Answer(self._card)

    async def drift(self, request: Request) -> Response:
        """Answer how far the last rows lie from those of the training."""
        drift = await self.slow.run(self.measure)
        return Answer(orjson.dumps(drift.document(meters.SHOWN)))

    def measure(self) -> Drift:
        """Return the drift of the window, measured again when the last one is old."""
        now = time.monotonic()
        if self._drift is None or now - self._drift[0] > DRIFT_SECONDS:
            contract = self.model.contract
            self._drift = now, measure_drift(contract.features, self.window.all_rows(), contract.rows["train"])
        return self._drift[1]

    def _remember(self, request: Request, X: np.ndarray, rows: list[Any], answers: list[dict[str, Any]]) -> None:
        self.window.add(X)
        if len(answers) == 1:
            meters.prediction_meter(self.model.name, answers[0].get("class_name", ""))(1)
        else:
            for name, count in Counter(answer.get("class_name", "") for answer in answers).items():
                meters.prediction_meter(self.model.name, name)(count)
        request.scope["asked"] = rows, answers


async def read_body(request: Request, settings: Settings, room: Room) -> bytes:
    """Return a request's body, however slow (`server` sees to that); raise Problem when it is too large or cut off."""
    message = await request.receive()
    if not message.get("more_body") and message["type"] == "http.request" and len(message["body"]) <= SMALL:
        return bytes(message["body"])
    parts: list[bytes] = []
    total = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Problem(400, "the body ended early: send it whole.")
        total += len(message["body"])
        if total <= settings.max_bytes:
            room.take(request.scope, len(message["body"]))
            parts.append(message["body"])
        if not message.get("more_body") or total > READ_TO_REFUSE * settings.max_bytes:
            break
        message = await request.receive()
    if total > settings.max_bytes:
        # read to its end first: who is still sending would not see the answer
        close = {"Connection": "close"} if message.get("more_body") else {}
        raise Problem(413, f"the body is larger than {settings.max_bytes} bytes: send less.", close)
    return b"".join(parts)


def _weights(request: Request) -> str:
    query = request.scope["query_string"]
    return parse_qs(query.decode("latin-1"), keep_blank_values=True).get("weights", ["float"])[-1] if query else "float"


async def _first_file(request: Request, body: bytes) -> bytes:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, receive).form(max_files=1, max_fields=4)
    except MultiPartException as error:
        raise Problem(422, f"the form is damaged ({error.message}): send one file.") from error
    except Exception as error:
        raise Problem(422, "the form is damaged: send one file.") from error
    files = [part for part in form.values() if isinstance(part, UploadFile)]
    if not files:
        raise Problem(422, "the form holds no file: send one, or the picture as the body.")
    return await files[0].read()
