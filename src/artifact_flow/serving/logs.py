"""Logs: one JSON line a prediction, written by a thread of its own, so that no answer waits for a line.

The standard library's logging takes 14 µs a record on the way, more than a prediction; here a request leaves a tuple
and the thread makes the line. The queue is bounded: where whoever reads the lines has stopped, lines are dropped and
counted, and answers go on. Everything else (start, stop, faults) goes the standard way into the same stream.
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

from artifact_flow.serving.model import Model
from artifact_flow.serving.window import Window

MODULE = "artifact_flow.serving"
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for the folder that several workers share
QUEUED = 100_000  # lines that wait for the thread at most
PAUSE = 0.1  # seconds between two looks at the queue
STATISTICS_SECONDS = 1.0  # that a window's statistics are good for
DESCRIBED = 100  # columns whose statistics a line holds
FILE_BYTES, FILES = 100_000_000, 5  # of the rotating file


class Asked(NamedTuple):
    """One request that asked a model something, as the log tells it: a line for each row, or one for a refusal."""

    when: float  # seconds since 1970
    endpoint: str
    status: int
    seconds: float
    request_id: str
    model: Model
    window: Window
    rows: list[Any]  # what was asked, as the client put it
    answers: list[dict[str, Any]]
    message: str = "prediction"


class PredictionLog:
    """The lines, on standard output and, where told, in a rotating file."""

    def __init__(self, write: Callable[[bytes], Any], inputs: bool, dropped: Callable[[int], Any]) -> None:
        """Begin with `write`, which takes whole lines; `dropped` is told how many could not be kept."""
        self._write, self._inputs, self._dropped = write, inputs, dropped
        self._queue: deque[Asked] = deque()
        self._stop, self._statistics = threading.Event(), dict[str, tuple[float, Any]]()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, asked: Asked) -> None:
        """Take a request's lines; never waits."""
        if len(self._queue) >= QUEUED:
            self._dropped(max(1, len(asked.answers)))
        else:
            self._queue.append(asked)

    def close(self, seconds: float = 10.0) -> None:
        """Write what is left; give up after `seconds`, when nobody reads it."""
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
                lines += self._lines(self._queue.popleft())
            try:
                self._write(b"".join(lines))
            except (OSError, ValueError):  # whoever read the lines is gone
                self._dropped(len(lines))

    def _lines(self, asked: Asked) -> list[bytes]:
        line: dict[str, Any] = {
            "timestamp": stamp(asked.when),
            "level": "INFO" if asked.status < 400 else "WARNING" if asked.status < 500 else "ERROR",
            "message": asked.message,
            "module": MODULE,
            "endpoint": asked.endpoint,
            "status": asked.status,
            "latency_ms": round(asked.seconds * 1000, 3),
            "request_id": asked.request_id,
            "model": asked.model.name,
            "model_sha256": asked.model.sha256,
        }
        if not asked.answers:
            return [_dump(line)]
        # the window's statistics stand in the first line of a batch only: they are the same for all
        rest = orjson.dumps(line)[:-1] + b","
        head = orjson.dumps(line | {"input_stats": self._input_stats(asked)})[:-1] + b","
        lines: list[bytes] = []
        for number, (row, answer) in enumerate(zip(asked.rows, asked.answers, strict=True)):
            own: dict[str, Any] = {"row": number} if len(asked.answers) > 1 else {}
            if self._inputs:
                own["input"] = row
            own["prediction"] = {key: answer[key] for key in answer if key != "probabilities"}
            lines.append((rest if number else head) + _dump(own)[1:])
        return lines

    def _input_stats(self, asked: Asked) -> Any:
        """Return column → mean and standard deviation over the worker's window, made at most once a second."""
        name, now = asked.model.name, time.monotonic()
        made, statistics = self._statistics.get(name, (0.0, None))
        if statistics is None or now - made > STATISTICS_SECONDS:
            statistics = orjson.Fragment(_dump(describe_window(asked.model, asked.window.rows())).rstrip())
            self._statistics[name] = now, statistics
        return statistics


def describe_window(model: Model, X: np.ndarray) -> dict[str, Any]:
    """Return column → mean and standard deviation of the encoded rows X; of all values where columns are very many."""
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
    """Standard output for whole lines of several writers: threads, and workers that share `state`, a folder.

    Workers write one after the other, lest long lines mix; what one left half-written when it was killed is ended.
    """

    def __init__(self, state: Path | None) -> None:
        """Begin; workers of one service give the same folder."""
        self._lock = threading.Lock()
        self._turn = os.open(state / "log.lock", os.O_RDWR | os.O_CREAT, 0o600) if state else None

    def write(self, lines: bytes) -> None:
        """Write lines, each with its end."""
        with self._lock:
            if self._turn is None:
                self._put(lines)
                return
            fcntl.flock(self._turn, fcntl.LOCK_EX)  # the kernel lets go for a worker that is killed
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
    """Return the folder that the workers of one service share, None where there is one worker."""
    return Path(os.environ[SHARED]) if SHARED in os.environ else None


@cache
def output() -> Output:
    """Return this process's output; the folder that workers share stands in the environment."""
    return Output(shared_folder())


class JsonHandler(logging.Handler):
    """The standard library's records as JSON lines; a fault's traceback is a field of its line."""

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
    """Return what uvicorn gives to the standard library's logging: everything as JSON lines on standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"out": {"()": JsonHandler}},
        "root": {"handlers": ["out"], "level": "INFO"},
        "loggers": {"uvicorn": {"level": "INFO"}, "uvicorn.access": {"level": "CRITICAL", "handlers": []}},
    }


def open_writer(path: str | None) -> Callable[[bytes], Any]:
    """Return what writes lines to standard output and, where a path is given, to a file that rotates.

    Of several workers each writes a file of its own, with its process id in the name.
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
