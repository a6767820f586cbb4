"""Estimators that misbehave where they are fitted, importable by every worker process."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from threadpoolctl import threadpool_info


class Killer(DummyClassifier):
    """Kills the process it is fitted in while fewer than `times` marks lie in `folder`; never the process `spares`."""

    def __init__(self, folder: str, times: int, spares: int, number: int) -> None:
        super().__init__()
        self.folder, self.times, self.spares, self.number = folder, times, spares, number

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Killer":
        marks = len(list(Path(self.folder).glob("*")))
        if marks < self.times and self.number == 3 and os.getpid() != self.spares:
            (Path(self.folder) / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return super().fit(X, y)


class Sleeper(DummyClassifier):
    """Takes `seconds` to be fitted, and says by a file in `folder` in which process."""

    def __init__(self, folder: str, seconds: float, number: int) -> None:
        super().__init__()
        self.folder, self.seconds, self.number = folder, seconds, number

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Sleeper":
        (Path(self.folder) / str(os.getpid())).touch()
        time.sleep(self.seconds)
        return super().fit(X, y)


class Pinned(DummyClassifier):
    """Scores 1 where it computes in another process than `parent`, with one thread of the Haswell kernel, else 0."""

    def __init__(self, number: int, parent: int) -> None:
        super().__init__()
        self.number, self.parent = number, parent

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        from numpy._core._multiarray_umath import __cpu_features__ as features

        pools: list[dict[str, Any]] = threadpool_info()
        kernels = {pool["architecture"] for pool in pools if pool["user_api"] == "blas"}
        threads = {pool["num_threads"] for pool in pools}
        elsewhere = os.getpid() != self.parent and "MALLOC_TRIM_THRESHOLD_" not in os.environ
        return float(kernels == {"Haswell"} and threads == {1} and not features["X86_V4"] and elsewhere)
