"""History: how one model's drift went since the service started, in memory of a fixed size.

It has at most POINTS points of 17 + 4 bytes a column: 17 KB for 64 columns, 1 MB for 4096. When it is full, every
second point is left out and the time between two becomes twice as long, so that the whole time stays in sight. A model
has one history: several workers keep it in a file that they share.
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from artifact_flow.serving.drift import VERDICTS, Drift

POINTS = 60
STEP = 60.0  # seconds between two points, at first
PATIENCE = 5.0  # seconds for the worker that measures a point, until another one tries
PSI_DIGITS = 4

HEAD = np.dtype([("count", "i8"), ("step", "f8"), ("claimed", "f8"), ("added", "i8")])


class History:
    """Points in time with the number of rows in the window, the verdict, and each column's stability index."""

    def __init__(self, name: str, columns: int, folder: Path | None) -> None:
        """Create an empty history, or open the workers' common one if `folder` is given."""
        point = np.dtype([("when", "f8"), ("rows", "i8"), ("status", "i1"), ("psi", "f4", (columns,))])
        size = HEAD.itemsize + POINTS * point.itemsize
        self._path, self._file = None, -1
        buffer: Any = bytearray(size)
        if folder is not None:
            self._path = folder / f"{name}.history"
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, size)  # a new file is of zeros
            buffer = mmap.mmap(self._file, size)
        self._lock = threading.Lock()
        self._head = np.frombuffer(buffer, HEAD, 1)
        self._points = np.frombuffer(buffer, point, POINTS, HEAD.itemsize)

    def remove(self) -> None:
        """Remove the history's file, if it has one."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._path, self._file = None, -1

    def claim(self, now: float, added: int) -> bool:
        """Return whether a point is due, which the caller then has to add; `now` is in seconds since 1970.

        None is due if all the `added` rows, those that the window ever took, are in an earlier point.
        """
        with self._held():
            head = self._head[0]
            count = int(head["count"])
            early = count and now - self._points[count - 1]["when"] < max(head["step"], STEP)
            if early or added == head["added"] or 0 <= now - head["claimed"] < PATIENCE:
                return False
            head["claimed"] = now
            return True

    def add(self, now: float, added: int, drift: Drift, places: Mapping[str, int]) -> None:
        """Add a point; `places` has the place of each column."""
        with self._held():
            head, points = self._head[0], self._points
            count = int(head["count"])
            if count == POINTS:
                points[: POINTS // 2] = points[1::2].copy()
                count, head["step"] = POINTS // 2, 2 * max(head["step"], STEP)
            point = points[count]
            point["when"], point["rows"], point["status"] = now, drift.rows, VERDICTS.index(drift.status)
            for column in drift.columns:
                point["psi"][places[column.name]] = column.psi
            head["count"], head["added"] = count + 1, added

    def complete(self, document: dict[str, Any], places: Mapping[str, int]) -> dict[str, Any]:
        """Return a drift's document with the history, and that of each of its columns."""
        with self._held():
            points = self._points[: int(self._head[0]["count"])].copy()
        psi = np.round(points["psi"].astype(np.float64), PSI_DIGITS)
        history = [
            {
                "time": datetime.fromtimestamp(float(point["when"]), UTC).isoformat(timespec="seconds"),
                "rows": int(point["rows"]),
                "status": VERDICTS[point["status"]],
                "psi": float(largest),
            }
            for point, largest in zip(points, psi.max(axis=1, initial=0.0), strict=True)
        ]
        columns = [column | {"history": psi[:, places[column["name"]]].tolist()} for column in document["columns"]]
        return document | {"columns": columns, "history": history}

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep other threads and workers out."""
        with self._lock:
            if self._file < 0:
                yield
                return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
