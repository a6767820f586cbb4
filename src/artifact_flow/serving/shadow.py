"""Shadow: a challenger that predicts the rows which a served model, the champion, has answered.

Its predictions are logged and compared with the answers, and never returned. It works in a thread of its own, on many
requests at once, so that no response waits for it. If it cannot keep up, rows are skipped and counted.
Like is compared with like: the rows that 8-bit weights answered are predicted by the challenger's, if it has such.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from artifact_flow.core.base.errors import ServeError
from artifact_flow.serving import meters
from artifact_flow.serving.logs import MODULE
from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.output import dump_line, stamp

QUEUED_ROWS = 20_000  # that wait for the thread; further ones are skipped
BLOCK_ROWS = 1000  # predicted at a time, unless one request has more
PAUSE = 0.1  # seconds between two reads of the queue
TOLERANCE = 0.01  # of the larger one: two numbers that differ by less agree

Answer = dict[str, Any]

logger = logging.getLogger(MODULE)


class Answered(NamedTuple):
    """A request that the champion has answered."""

    when: float  # seconds since 1970
    request_id: str
    X: np.ndarray  # [rows, features], as the champion encodes them
    rows: list[Any]  # as the client sent them; None for a large picture
    answers: list[Answer]
    weights: str  # that answered


class Shadow:
    """The challenger of one model, with its queue and thread."""

    def __init__(self, model: ServedModel, champion: ServedModel, put_line: Callable[[bytes], None]) -> None:
        """Start the thread; `put_line` takes lines of the log. Raise ServeError if the models cannot be compared."""
        _check_comparable(model, champion)
        self.model, self.champion, self._put_line = model, champion, put_line
        self._queue: deque[Answered] = deque()
        self._taken = self._done = 0  # rows ever queued and predicted; each is written by one thread
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def put(self, request_id: str, X: np.ndarray, rows: list[Any], answers: list[Answer], weights: str) -> None:
        """Queue a request that `weights` answered; never blocks."""
        if self._taken - self._done + len(X) > QUEUED_ROWS:
            self._count("skipped", len(X))
            return
        self._taken += len(X)
        self._queue.append(Answered(time.time(), request_id, X, rows, answers, weights))

    def close(self, seconds: float = 10.0) -> None:
        """Predict what is queued, `seconds` at most, and end the thread."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._queue:
            block = [self._queue.popleft()]
            rows = len(block[0].X)
            while self._queue and rows + len(self._queue[0].X) <= BLOCK_ROWS:
                if self._queue[0].weights != block[0].weights:
                    break
                block.append(self._queue.popleft())
                rows += len(block[-1].X)
            try:
                self._compare(block)
            except Exception:
                logger.exception("the shadow of %s cannot predict %d rows", self.model.name, rows)
                self._count("failed", rows)
            self._done += rows

    def _choose(self, weights: str) -> str:
        """Return the challenger's weights to compare with those of the champion that answered."""
        return weights if weights in self.model.weights else "float"

    def _compare(self, block: list[Answered]) -> None:
        X = np.concatenate([self._encode(request) for request in block])
        predictions = self.model.predict(X, self.model.weights[self._choose(block[0].weights)])
        values = predictions.values.tolist()
        answers: Iterator[Answer]
        if not self.model.classes:
            answers = ({"value": value} for value in values)
        else:
            classes = self.model.classes
            shares = [None] * len(values) if predictions.probabilities is None else predictions.probabilities.tolist()
            answers = (
                {"class_name": classes[index], "probabilities": dict(zip(classes, of, strict=True)) if of else None}
                for index, of in zip(values, shares, strict=True)
            )
        for request in block:
            self._log(request, list(islice(answers, len(request.answers))))

    def _encode(self, request: Answered) -> np.ndarray:
        if self.model.encoding == self.champion.encoding:
            return request.X
        names = self.model.rows.features  # in the challenger's order
        return self.model.rows.encode([{name: row.get(name) for name in names} for row in request.rows])

    def _log(self, request: Answered, answers: list[Answer]) -> None:
        pairs = list(zip(request.answers, answers, strict=True))
        agreed = sum(_agree(champion, challenger) for champion, challenger in pairs)
        differences = [found for pair in pairs if (found := _difference(*pair)) is not None and math.isfinite(found)]
        self._count("agreed", agreed)
        self._count("differed", len(pairs) - agreed)
        meters.shadow_difference(self.model.name, self.model.sha256[:12])(sum(differences))
        line = {
            "timestamp": stamp(request.when),
            "level": "INFO",
            "message": "shadow",
            "module": MODULE,
            "request_id": request.request_id,
            "model": self.champion.name,
            "model_sha256": self.champion.sha256,
            "shadow_sha256": self.model.sha256,
            "weights": request.weights,
            "shadow_weights": self._choose(request.weights),
            "rows": len(pairs),
            "agreed": agreed,
            "mean_difference": float(f"{sum(differences) / len(differences):.6g}") if differences else None,
            "shadow": [answer["class_name"] if self.model.classes else answer["value"] for answer in answers],
        }
        self._put_line(dump_line(line))

    def _count(self, result: str, rows: int) -> None:
        if rows:
            meters.shadow_meter(self.model.name, self.model.sha256[:12], result)(rows)


def _check_comparable(model: ServedModel, champion: ServedModel) -> None:
    mine, theirs = ({item.name: item.type for item in one.contract.features} for one in (model, champion))
    if mine != theirs:
        column = next(name for name in {**theirs, **mine} if mine.get(name) != theirs.get(name))
        raise ServeError(
            f"the shadow of {champion.name} cannot take its rows: the column {column} is {mine.get(column, 'absent')} "
            f"in the shadow and {theirs.get(column, 'absent')} in the served model: use a model of the same columns."
        )
    if bool(model.classes) != bool(champion.classes):
        raise ServeError(f"the shadow of {champion.name} predicts something else: use a model of the same target.")


def _agree(champion: Answer, challenger: Answer) -> bool:
    if "value" in champion:
        return math.isclose(champion["value"], challenger["value"], rel_tol=TOLERANCE)
    return bool(champion["class_name"] == challenger["class_name"])


def _difference(champion: Answer, challenger: Answer) -> float | None:
    """Return how far two answers are apart: in value, or in the probability of the champion's class."""
    if "value" in champion:
        return float(abs(champion["value"] - challenger["value"]))
    shares = challenger["probabilities"]
    if not shares or "confidence" not in champion:
        return None
    return float(abs(champion["confidence"] - shares.get(champion["class_name"], 0.0)))
