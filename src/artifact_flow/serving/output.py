"""Output: where the log's lines go: standard output and, if it is wanted, a rotating file.

Both are written without a buffer, so that a full disk or a reader that is gone is an OSError of the write that failed.
"""

import fcntl
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from artifact_flow.serving.shared import shared_folder

FILE_BYTES, FILES = 100_000_000, 5  # of the rotating file
COMPLAINT_SECONDS = 10.0  # between two complaints about the same thing

Write = Callable[[bytes], Any]


class Lines:
    """Whole lines in a file descriptor; a line that was cut off is ended before the next one."""

    def __init__(self) -> None:
        """Start after a whole line."""
        self._torn = False

    def write(self, descriptor: int, lines: bytes) -> None:
        """Write lines, each of which ends with a newline; raise OSError when they do not all fit."""
        rest = memoryview(b"\n" + lines if self._torn else lines)
        while rest:
            written = os.write(descriptor, rest)
            self._torn = rest[written - 1] != 0x0A
            rest = rest[written:]


class Output:
    """Standard output for several writers of whole lines: threads, and workers that share the folder `state`.

    A lock keeps the lines of different workers apart; a line that a killed worker left incomplete is terminated.
    """

    def __init__(self, state: Path | None) -> None:
        """Open the lock file; all workers of one service pass the same folder."""
        self._lock, self._lines = threading.Lock(), Lines()
        self._turn = os.open(state / "log.lock", os.O_RDWR | os.O_CREAT, 0o600) if state else None

    def write(self, lines: bytes) -> None:
        """Write lines, each of which ends with a newline."""
        with self._lock:
            if self._turn is None:
                self._lines.write(sys.stdout.fileno(), lines)
                return
            fcntl.flock(self._turn, fcntl.LOCK_EX)  # the kernel releases the lock of a killed worker
            try:
                torn = os.pread(self._turn, 1, 0) == b"1"
                os.pwrite(self._turn, b"1", 0)
                self._lines.write(sys.stdout.fileno(), b"\n" + lines if torn else lines)
                os.pwrite(self._turn, b"0", 0)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)


class LogFile:
    """A file of lines that is renamed to `.1` when it is full; FILES such files are kept."""

    def __init__(self, path: Path) -> None:
        """Create the folder of the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._descriptor, self._lines = path, -1, Lines()

    def write(self, lines: bytes) -> None:
        """Write lines, each of which ends with a newline."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._descriptor).st_size
        if size and size + len(lines) > FILE_BYTES:
            os.close(self._descriptor)
            self._descriptor = -1
            self._rotate()
            self.write(lines)
            return
        self._lines.write(self._descriptor, lines)

    def _rotate(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, FILES + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)


class Complaint:
    """Says that something is wrong, and says it again only after a while."""

    def __init__(self, say: Callable[[str], Any]) -> None:
        """Take the function that tells people."""
        self._say, self._said = say, -COMPLAINT_SECONDS

    def say(self, sentence: str) -> None:
        """Say a sentence, unless one was said recently."""
        if time.monotonic() - self._said >= COMPLAINT_SECONDS:
            self._said = time.monotonic()
            self._say(sentence)


class JsonHandler(logging.Handler):
    """Writes the standard library's records as JSON lines; a traceback is a field of its line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, to standard error if standard output cannot take it."""
        line = {
            "timestamp": stamp(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
            "module": record.name,
        }
        if record.exc_info:
            line["traceback"] = logging.Formatter().formatException(record.exc_info)
        text = dump_line(line)
        try:
            output().write(text)
        except (OSError, ValueError):
            complain(text.decode().rstrip())


def log_config() -> dict[str, Any]:
    """Return the logging configuration for uvicorn: all records as JSON lines on standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"out": {"()": JsonHandler}},
        "root": {"handlers": ["out"], "level": "INFO"},
        "loggers": {"uvicorn": {"level": "INFO"}, "uvicorn.access": {"level": "CRITICAL", "handlers": []}},
    }


def open_writer(path: str | None) -> Write:
    """Return a function that writes lines to standard output and, if `path` is given, to a rotating file.

    With several workers, each writes its own file, whose name contains its process id.
    """
    if path is None:
        return output().write
    file = LogFile(Path(path).with_suffix(f".{os.getpid()}{Path(path).suffix}") if shared_folder() else Path(path))

    def write(lines: bytes) -> None:
        try:
            output().write(lines)
        finally:
            file.write(lines)  # whatever happens to the other

    return write


def complain(sentence: str) -> None:
    """Write a line to standard error, if anybody is there."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()


@cache
def output() -> Output:
    """Return this process's output; the environment names the folder that workers share."""
    return Output(shared_folder())


def stamp(when: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dump_line(line: Any) -> bytes:
    """Return an object as a line of JSON."""
    return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)
