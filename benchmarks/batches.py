"""Batches: 50 and 100 million rows in several files, predicted by one process and by two Dask workers."""

import shutil
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.throughput import LARGE, MODEL, make_houses
from benchmarks.workspace import Workspace


def compare_batches(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield how much faster two workers are than one process, at each size."""
    rows = make_houses(project, LARGE)
    for files in (2, 4):
        folder, words = f"rows-{files}", f"{files * LARGE} M rows in parts"
        (project.path / folder).mkdir()
        for number in range(files):
            (project.path / folder / f"{number}.parquet").symlink_to(rows)
        yield meter.compare(
            Contender(f"{words}, one process", partial(predict, project, folder)),
            Contender(f"{words}, two Dask workers", partial(predict, project, folder, "--workers", "2")),
            relation="≥",
            bar=1.0,
        )


def predict(project: Workspace, folder: str, *cluster: str) -> float:
    """Return the wall time of predicting a folder from the start, in seconds."""
    shutil.rmtree(project.path / "parts", ignore_errors=True)
    command = ("artifact-flow", "predict", f"{folder}/", "--model", str(MODEL), "--out", "parts/", *cluster)
    return project.time("env", "PYTHONPATH=src", *command)
