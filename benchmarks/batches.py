"""Batches: 25 million rows beside 5, in time and memory on one core, and two Dask workers beside one process at 50."""

import shutil
from collections.abc import Iterator

from benchmarks.figure import Contender, Figure, Meter, Series
from benchmarks.throughput import MODEL, make_houses
from benchmarks.workspace import Workspace

TIMES = 5  # as many rows as the smaller table has


def compare_batches(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield how time and memory grow with the rows, and what a second process is worth."""
    small, large = (str(make_houses(project, times)) for times in (1, TIMES))
    peaks: dict[str, list[float]] = {small: [], large: []}

    def predict(rows: str) -> float:
        cost = project.measure("artifact-flow", "predict", rows, "--model", str(MODEL), "--out", "ours.parquet")
        peaks[rows].append(cost.megabytes)
        return cost.seconds

    folder = project.path / "rows"
    folder.mkdir()
    for name in ("one.parquet", "two.parquet"):  # 25 million rows each
        (folder / name).symlink_to(large)

    def predict_parts(*cluster: str) -> float:
        shutil.rmtree(project.path / "parts", ignore_errors=True)
        command = ("artifact-flow", "predict", "rows/", "--model", str(MODEL), "--out", "parts/", *cluster)
        return project.time("env", "PYTHONPATH=src", *command)

    yield meter.compare(
        Contender("artifact-flow predict, 25 M rows", lambda: predict(large)),
        Contender("five times 5 M rows", lambda: TIMES * predict(small)),
        relation="≤",
        bar=1.1,
    )
    yield Figure(
        Series("memory over 25 M rows at its highest", [max(peaks[large])], "MB"),
        Series("over 5 M rows", [max(peaks[small])], "MB"),
        relation="≤",
        bar=1.1,
    )
    yield meter.compare(
        Contender("50 M rows in parts, one process", predict_parts),
        Contender("two Dask workers", lambda: predict_parts("--workers", "2")),
        relation="≥",
        bar=1.0,
    )
