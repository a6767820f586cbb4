"""Window: the last rows that a model was asked about, encoded, for drift and for the log's statistics.

One worker keeps it in memory. Several each keep theirs in a file that the others can read, so that `/drift` and
`/metrics` say the same whoever answers.
"""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

VALUES = 1 << 20  # that a window holds: 8 MB, of which only what was written takes memory
ROWS = (200, 10_000)  # at least, at most
HEAD = 64  # bytes before the rows; the first eight count what was ever added


class Window:
    """A ring of encoded rows, float64 of shape [rows, features].

    A model takes float32, of which unix seconds are two minutes apart: too far to tell one hour from another.
    """

    def __init__(self, name: str, features: int, folder: Path | None) -> None:
        """Begin an empty window, in a file of `folder` where one is given."""
        self.size = min(max(VALUES // max(features, 1), ROWS[0]), ROWS[1])
        self.features, self.name, self.folder = features, name, folder
        if folder is None:
            self.count, self.ring = np.zeros(1, np.int64), np.zeros((self.size, features))
            return
        _remove_those_of_the_dead(folder, name)
        path = folder / f"{name}.{os.getpid()}.window"
        self.count, self.ring = self._map(path, "w+")

    def add(self, X: np.ndarray) -> None:
        """Add rows; the oldest go."""
        total = int(self.count[0])
        if len(X) == 1:
            self.ring[total % self.size] = X[0]
        else:
            X = X[-self.size :]
            self.ring[np.arange(total, total + len(X)) % self.size] = X
        self.count[0] = total + len(X)

    def rows(self) -> np.ndarray:
        """Return this worker's rows, in no order."""
        return _filled(self.count, self.ring)

    def all_rows(self) -> np.ndarray:
        """Return every worker's rows, in no order."""
        if self.folder is None:
            return self.rows()
        parts = []
        for path in sorted(self.folder.glob(f"{self.name}.*.window")):
            with suppress(OSError, ValueError):  # a worker that is just beginning
                parts.append(_filled(*self._map(path, "r")))
        return np.concatenate(parts) if parts else self.rows()

    def _map(self, path: Path, mode: str) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.size, self.features)
        ring = np.memmap(path, np.float64, mode, HEAD, shape)  # type: ignore[call-overload]
        return np.memmap(path, np.int64, "r" if mode == "r" else "r+", 0, (1,)), ring


def _remove_those_of_the_dead(folder: Path, name: str) -> None:
    for path in folder.glob(f"{name}.*.window"):
        if not Path("/proc", path.suffixes[-2].removeprefix(".")).exists():
            path.unlink(missing_ok=True)


def _filled(count: np.ndarray, ring: np.ndarray) -> np.ndarray:
    return np.array(ring[: int(min(count[0], len(ring)))])
