"""Logs: one JSON line per request for predictions, written by a separate thread, so that no response waits for it.

The standard library's logging takes 14 µs per record, more than a prediction; here a request queues a tuple and the
thread formats the line. The queue is bounded: if the reader of the log stops or the disk is full, lines are dropped and
counted, standard error says so, and the service continues to answer. All other records (start, stop, errors) go through
the standard library's logging to the same stream.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import orjson

from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.output import Complaint, complain, dump_line, stamp
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.trace import Trace
from artifact_flow.serving.window import Window

MODULE = "artifact_flow.serving"
QUEUED = 1_000_000  # values that wait for the thread at most: about 80 MB
VALUES_A_ROW, VALUES_A_REQUEST = 8, 10  # counted besides a row's own: its answer and what a line has of the request
BYTES_A_VALUE = 8  # in a line that is complete
PAUSE = 0.1  # seconds between two reads of the queue
STATISTICS_SECONDS = 1.0  # for which a window's statistics are kept
DESCRIBED = 100  # columns, up to which a line has the statistics of each
WRITTEN = 1_000_000  # bytes written at a time


class RequestRecord(NamedTuple):
    """One request for predictions, which is one line of the log."""

    when: float  # seconds since 1970
    endpoint: str
    status: int
    seconds: float
    request_id: str
    model: ServedModel
    window: Window
    rows: list[Any]  # as the client sent them
    answers: list[dict[str, Any]]
    message: str = "prediction"
    trace: Trace | None = None


class PredictionLog:
    """The queue of requests and the thread that writes their lines."""

    def __init__(self, write: Callable[[bytes], Any], settings: ServiceSettings, dropped: Callable[[int], Any]) -> None:
        """Start the thread. `write` takes whole lines; `dropped` is called with the number of lines that were lost."""
        self._write, self._dropped = write, dropped
        self._inputs, self._rows = settings.log_inputs, settings.log_rows
        self._queue: deque[tuple[int, RequestRecord | bytes]] = deque()  # with the number of values
        self._put = self._taken = 0  # values ever put into the queue, and taken out of it
        self._wake, self._stopped = threading.Event(), False
        self._statistics: dict[str, tuple[float, Any]] = {}
        self._lost = Complaint(complain)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, record: RequestRecord | bytes) -> None:
        """Queue a request, or a line that is complete; never blocks."""
        size = _count_values(record)
        waiting = self._put - self._taken + size
        if waiting > QUEUED and self._queue:
            self._lose(1, "it is not read as fast as it is written")
            return
        self._put += size
        self._queue.append((size, record))
        if waiting > QUEUED // 10:
            self._wake.set()

    def close(self, seconds: float = 10.0) -> None:
        """Write what is queued; give up after `seconds` if the reader has stopped."""
        self._stopped = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(PAUSE)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._queue:
            lines: list[bytes] = []
            size = 0
            while self._queue and size < WRITTEN:
                values, record = self._queue.popleft()
                self._taken += values
                lines.append(record if isinstance(record, bytes) else self._line(record))
                size += len(lines[-1])
            try:
                self._write(b"".join(lines))
            except (OSError, ValueError) as error:  # the reader of the log is gone, or the disk is full
                self._lose(len(lines), str(error))

    def _lose(self, lines: int, reason: str) -> None:
        self._dropped(lines)
        self._lost.say(f"the log loses lines ({reason}): artifact_flow_log_lines_dropped_total counts them.")

    def _line(self, record: RequestRecord) -> bytes:
        line: dict[str, Any] = {
            "timestamp": stamp(record.when),
            "level": "INFO" if record.status < 400 else "WARNING" if record.status < 500 else "ERROR",
            "message": record.message,
            "module": MODULE,
            "endpoint": record.endpoint,
            "status": record.status,
            "latency_ms": round(record.seconds * 1000, 3),
            "request_id": record.request_id,
            "model": record.model.name,
            "model_sha256": record.model.sha256,
        }
        if record.trace:
            trace = record.trace
            line |= {"trace_id": trace.trace_id, "span_id": trace.span_id, "parent_id": trace.parent_id}
        if not record.answers:
            return dump_line(line)
        line["input_stats"] = self._input_stats(record)
        if len(record.answers) > 1:
            return dump_line(line | self._columns(record))
        if self._inputs:
            line["input"] = record.rows[0]
        answer = record.answers[0]
        line["prediction"] = {key: answer[key] for key in answer if key != "probabilities"}
        return dump_line(line)

    def _columns(self, record: RequestRecord) -> dict[str, Any]:
        """Return a batch as columns: name → the values of all rows, or of rows evenly spread over a large batch."""
        total, features = len(record.answers), record.model.rows.features
        rows, answers = record.rows, record.answers
        found: dict[str, Any] = {"rows": total}
        if total > self._rows:
            places = np.linspace(0, total - 1, self._rows).round().astype(int).tolist()
            found["logged_rows"] = places
            rows, answers = [rows[place] for place in places], [answers[place] for place in places]
        if self._inputs and record.model.rows.plain:  # each row has every column, in order
            found["input"] = dict(zip(features, zip(*(row.values() for row in rows), strict=True), strict=True))
        elif self._inputs:
            found["input"] = {name: [row.get(name) for row in rows] for name in features}
        found["prediction"] = {key: [answer[key] for answer in answers] for key in answers[0] if key != "probabilities"}
        return found

    def _input_stats(self, record: RequestRecord) -> Any:
        """Return column → mean and standard deviation over the worker's window, computed at most once a second."""
        name, now = record.model.name, time.monotonic()
        made, statistics = self._statistics.get(name, (0.0, None))
        if statistics is None or now - made > STATISTICS_SECONDS:
            statistics = orjson.Fragment(dump_line(describe_window(record.model, record.window.rows())).rstrip())
            self._statistics[name] = now, statistics
        return statistics


def describe_window(model: ServedModel, X: np.ndarray) -> dict[str, Any]:
    """Return column → mean and standard deviation of encoded rows X; with very many columns, those of all values."""
    features = model.contract.features
    if len(features) > DESCRIBED:
        known = X[~np.isnan(X)].astype(np.float64)
        return {"all": {"mean": _round(known.mean()), "std": _round(known.std())}} if known.size else {}
    found = {}
    for number, feature in enumerate(features):
        known = X[:, number][~np.isnan(X[:, number])].astype(np.float64)
        if feature.type != "category" and known.size:
            found[feature.name] = {"mean": _round(known.mean()), "std": _round(known.std())}
    return found


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _count_values(record: RequestRecord | bytes) -> int:
    """Return about how many values a request or a line holds."""
    if isinstance(record, bytes):
        return VALUES_A_REQUEST + len(record) // BYTES_A_VALUE
    rows = len(record.answers)
    return VALUES_A_REQUEST + rows * (VALUES_A_ROW + len(record.model.rows.features)) if rows else VALUES_A_REQUEST
