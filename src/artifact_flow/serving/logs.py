"""Logs: one JSON line per prediction, written by a separate thread, so that no response waits for the log.

The standard library's logging takes 14 µs per record, more than a prediction; here a request queues a tuple and the
thread formats the line. The queue is bounded: if the reader of the log stops, lines are dropped and counted, and the
service continues to answer. All other records (start, stop, errors) go through the standard library's logging to the
same stream.
"""

import fcntl
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.window import Window

MODULE = "artifact_flow.serving"
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's variable: the folder that several workers share
QUEUED = 100_000  # requests that wait for the thread at most
PAUSE = 0.1  # seconds between two reads of the queue
STATISTICS_SECONDS = 1.0  # for which a window's statistics are kept
DESCRIBED = 100  # columns, up to which a line has the statistics of each
FILE_BYTES, FILES = 100_000_000, 5  # of the rotating file


class RequestRecord(NamedTuple):
    """One request for predictions: the log gets a line for each row, or one line if it was refused."""

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


class PredictionLog:
    """The queue of requests and the thread that writes their lines."""

    def __init__(self, write: Callable[[bytes], Any], inputs: bool, dropped: Callable[[int], Any]) -> None:
        """Start the thread. `write` takes whole lines; `dropped` is called with the number of lines that were lost."""
        self._write, self._inputs, self._dropped = write, inputs, dropped
        self._queue: deque[RequestRecord | bytes] = deque()
        self._stop, self._statistics = threading.Event(), dict[str, tuple[float, Any]]()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, record: RequestRecord) -> None:
        """Queue a request; never blocks."""
        if len(self._queue) >= QUEUED:
            self._dropped(max(1, len(record.answers)))
        else:
            self._queue.append(record)

    def put_line(self, line: bytes) -> None:
        """Queue a line that is complete; never blocks."""
        if len(self._queue) >= QUEUED:
            self._dropped(1)
        else:
            self._queue.append(line)

    def close(self, seconds: float = 10.0) -> None:
        """Write what is queued; give up after `seconds` if the reader has stopped."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._queue:
            lines: list[bytes] = []
            while self._queue and len(lines) < 1000:
                record = self._queue.popleft()
                lines += [record] if isinstance(record, bytes) else self._lines(record)
            try:
                self._write(b"".join(lines))
            except (OSError, ValueError):  # the reader of the log is gone
                self._dropped(len(lines))

    def _lines(self, record: RequestRecord) -> list[bytes]:
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
        if not record.answers:
            return [_dump(line)]
        # only the first line of a batch has the window's statistics: they are the same for all
        rest = orjson.dumps(line)[:-1] + b","
        head = orjson.dumps(line | {"input_stats": self._input_stats(record)})[:-1] + b","
        lines: list[bytes] = []
        for number, (row, answer) in enumerate(zip(record.rows, record.answers, strict=True)):
            own: dict[str, Any] = {"row": number} if len(record.answers) > 1 else {}
            if self._inputs:
                own["input"] = row
            own["prediction"] = {key: answer[key] for key in answer if key != "probabilities"}
            lines.append((rest if number else head) + _dump(own)[1:])
        return lines

    def _input_stats(self, record: RequestRecord) -> Any:
        """Return column → mean and standard deviation over the worker's window, computed at most once a second."""
        name, now = record.model.name, time.monotonic()
        made, statistics = self._statistics.get(name, (0.0, None))
        if statistics is None or now - made > STATISTICS_SECONDS:
            statistics = orjson.Fragment(_dump(describe_window(record.model, record.window.rows())).rstrip())
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


class Output:
    """Standard output for several writers of whole lines: threads, and workers that share the folder `state`.

    A lock keeps the lines of different workers apart; a line that a killed worker left incomplete is terminated.
    """

    def __init__(self, state: Path | None) -> None:
        """Open the lock file; all workers of one service pass the same folder."""
        self._lock = threading.Lock()
        self._turn = os.open(state / "log.lock", os.O_RDWR | os.O_CREAT, 0o600) if state else None

    def write(self, lines: bytes) -> None:
        """Write lines, each of which ends with a newline."""
        with self._lock:
            if self._turn is None:
                self._put(lines)
                return
            fcntl.flock(self._turn, fcntl.LOCK_EX)  # the kernel releases the lock of a killed worker
            try:
                torn = os.pread(self._turn, 1, 0) == b"1"
                os.pwrite(self._turn, b"1", 0)
                self._put(b"\n" + lines if torn else lines)
                os.pwrite(self._turn, b"0", 0)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    @staticmethod
    def _put(lines: bytes) -> None:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()


def shared_folder() -> Path | None:
    """Return the folder that the workers of one service share, None if there is one worker."""
    return Path(os.environ[SHARED]) if SHARED in os.environ else None


@cache
def output() -> Output:
    """Return this process's output; the environment names the folder that workers share."""
    return Output(shared_folder())


class JsonHandler(logging.Handler):
    """Writes the standard library's records as JSON lines; a traceback is a field of its line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        line = {
            "timestamp": stamp(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
            "module": record.name,
        }
        if record.exc_info:
            line["traceback"] = logging.Formatter().formatException(record.exc_info)
        output().write(_dump(line))


def log_config() -> dict[str, Any]:
    """Return the logging configuration for uvicorn: all records as JSON lines on standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"out": {"()": JsonHandler}},
        "root": {"handlers": ["out"], "level": "INFO"},
        "loggers": {"uvicorn": {"level": "INFO"}, "uvicorn.access": {"level": "CRITICAL", "handlers": []}},
    }


def open_writer(path: str | None) -> Callable[[bytes], Any]:
    """Return a function that writes lines to standard output and, if `path` is given, to a rotating file.

    With several workers, each writes its own file, whose name contains its process id.
    """
    if path is None:
        return output().write
    file = Path(path).with_suffix(f".{os.getpid()}{Path(path).suffix}") if shared_folder() else Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, delay=True)
    handler.terminator = ""

    def write(lines: bytes) -> None:
        output().write(lines)
        handler.emit(logging.makeLogRecord({"msg": lines.decode()}))

    return write


def stamp(when: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(line: Any) -> bytes:
    return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
