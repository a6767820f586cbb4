"""Searcher: a script that times one search and prints the result as JSON, in a reproduced clone.

Its arguments are a backend, a number of workers and, optionally, the number of fits after which a worker is killed. The
search makes 200 fits of a LogisticRegression on the train split of the digits, repeated four times. The time includes
the folds, starting and stopping the workers, and the fits, but not the imports. The best model is fitted again and
its bytes are hashed.
"""

import artifact_flow.core.base.determinism  # noqa: F401, I001 - must pin the process before numpy is imported

import json
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from artifact_flow.core.model.artifacts import write_model
from artifact_flow.core.base.contract import describe_features
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.base.params import SearchParams, TrainParams
from artifact_flow.scale.backend import BackendChoice, open_backend
from artifact_flow.core.model.search import prepare_bench, search_best
from artifact_flow.core.table.tables import read_table

TIMES, CANDIDATES, FOLDS = 4, 40, 5


def main(backend: str, workers: int, deadly: int | None = None) -> None:
    """Print the wall time of a search in seconds, its number of fits, and the sha256 of the resulting model."""

    def report(done: int, total: int) -> None:
        if done == deadly:
            kill_worker()

    train = read_table().part("train")
    rows, _ = encode_rows(describe_features(train.roles.features, train.raw), train.raw)
    X, y = np.tile(rows, (TIMES, 1)), np.tile(train.y, TIMES)
    search = SearchParams(strategy="grid", space={"C": np.logspace(-3, 0, CANDIDATES).round(5).tolist()}, cv=FOLDS)
    keywords: dict[str, Any] = {"max_iter": 100}
    params = TrainParams(estimator="sklearn.linear_model.LogisticRegression", threads=1, search=search, **keywords)
    build = partial(build_model, task="classification")
    start = time.perf_counter()
    bench = prepare_bench(search, "classification", X, y, threads=1)
    with open_backend(BackendChoice(backend, workers)) as opened:
        found = search_best(params, build, bench, opened.run, report)
    seconds = time.perf_counter() - start
    with reproducible(1), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # that a hundred iterations do not converge
        sha256 = write_model(fit_model(build(found.params), X, y, found.params), Path(folder) / "model.pkl")
    print(json.dumps({"seconds": seconds, "fits": len(found.trials) * FOLDS, "sha256": sha256}))


def kill_worker() -> None:
    """Kill a worker process of loky."""
    workers = [child for child in psutil.Process().children(recursive=True) if "loky" in " ".join(child.cmdline())]
    next(child for child in workers if "resource_tracker" not in " ".join(child.cmdline())).kill()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
