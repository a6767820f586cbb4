"""Window: the most recent rows that a model predicted, encoded, for drift with its history and the log's statistics.

A single worker keeps its window in memory. With several workers, each keeps its window in a file that the others can
read, so that `/drift` and `/metrics` give the same result from every worker.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from artifact_flow.serving.history import History

VALUES = 1 << 20  # in a window: 8 MB, of which only written pages take memory
ROWS = (200, 10_000)  # in a window: minimum, maximum
HEAD = 64  # bytes before the rows; the first eight count all rows ever added


class Window:
    """A ring buffer of encoded rows, float64 of shape [rows, features].

    float32, which a model takes, is too coarse for drift: its unix seconds are two minutes apart.
    """

    def __init__(self, name: str, features: int, folder: Path | None) -> None:
        """Create an empty window, in a file if `folder` is given."""
        self.size = min(max(VALUES // max(features, 1), ROWS[0]), ROWS[1])
        self.features, self.name, self.folder = features, name, folder
        self.history = History(name, features, folder)
        if folder is None:
            self.count, self.ring = np.zeros(1, np.int64), np.zeros((self.size, features))
            return
        _remove_stale_files(folder, name)
        self.count, self.ring = self._map(_path(folder, name), "w+")

    def remove(self) -> None:
        """Remove the files of the window and its history, if it has any; rows that are still added are lost."""
        self.history.remove()
        if self.folder is not None:
            _path(self.folder, self.name).unlink(missing_ok=True)

    def add(self, X: np.ndarray) -> None:
        """Add rows; when the window is full, they replace the oldest."""
        total = int(self.count[0])
        if len(X) == 1:
            self.ring[total % self.size] = X[0]
        else:
            X = X[-self.size :]
            self.ring[np.arange(total, total + len(X)) % self.size] = X
        self.count[0] = total + len(X)

    def rows(self) -> np.ndarray:
        """Return this worker's rows, in no particular order."""
        return _filled(self.count, self.ring)

    def count_added(self) -> int:
        """Return how many rows every worker ever added, of those that run."""
        return sum(int(count[0]) for count, _ in self._parts())

    def all_rows(self) -> np.ndarray:
        """Return every worker's rows, in no particular order."""
        parts = [_filled(*part) for part in self._parts()]
        return np.concatenate(parts) if parts else self.rows()

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.folder is None:
            yield self.count, self.ring
            return
        for path in sorted(self.folder.glob(f"{self.name}.*.window")):
            with suppress(OSError, ValueError):  # of a worker that is just starting
                yield self._map(path, "r")

    def _map(self, path: Path, mode: str) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.size, self.features)
        ring = np.memmap(path, np.float64, mode, HEAD, shape)  # type: ignore[call-overload]
        return np.memmap(path, np.int64, "r" if mode == "r" else "r+", 0, (1,)), ring


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.{os.getpid()}.window"


def _remove_stale_files(folder: Path, name: str) -> None:
    """Remove the windows of workers that no longer run."""
    for path in folder.glob(f"{name}.*.window"):
        if not Path("/proc", path.suffixes[-2].removeprefix(".")).exists():
            path.unlink(missing_ok=True)


def _filled(count: np.ndarray, ring: np.ndarray) -> np.ndarray:
    return np.array(ring[: int(min(count[0], len(ring)))])
