"""Throughput: `predict` compared with pandas, polars, Dask, mlflow and a bare pyarrow loop; stage `data` with pyarrow.

Times are those of whole processes, including their start. `predict` and its peers run on one core, with the same model,
at several sizes.
"""

import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import DASK, PANDAS, POLARS, SERVING, prepare_peers, prepare_serving_peer
from benchmarks.figure import Contender, Figure, Meter, Series, limit_memory
from benchmarks.workspace import ROOT, Workspace

TABLES = ROOT / ".artifact-flow" / "bench-data"
MAKER = Path(__file__).with_name("tables.py")
FLOW = Path("flows", "california_housing")
MODEL, CONTRACT = FLOW / "model.onnx", FLOW / "contract.json"
SMALL, MIDDLE, LARGE = 1, 5, 25  # million rows; the bars apply to the middle size
OURS, MLFLOW = "artifact-flow predict", "mlflow models predict, from CSV"
ARROW = "a bare pyarrow loop that hashes and range-checks"
PEERS = {f"pandas {PANDAS}": "pandas", f"polars {POLARS}, map_batches": "polars", f"dask {DASK}": "dask"}
BARS = {f"pandas {PANDAS}": 1.6, f"polars {POLARS}, map_batches": 0.95, ARROW: 0.85}
ALLOWED_MEGABYTES = 450.0


def compare_predict(project: Workspace, scratch: Path, meter: Meter) -> Iterator[Figure]:
    """Yield `predict` compared with its peers in rows per second and memory at each size, its scaling, and its CSV."""
    peaks = defaultdict[str, list[float]](list)

    def contender(name: str, millions: int, *command: str) -> Contender:
        title = f"{name}, {millions} M rows"

        def measure() -> float:
            cost = project.measure(*command)
            peaks[title].append(cost.megabytes)
            return millions / cost.seconds

        return Contender(title, measure, "M rows/s")

    def every(millions: int) -> Iterator[Contender]:
        rows = str(make_houses(project, millions))
        yield contender(OURS, millions, "artifact-flow", "predict", rows, "--model", str(MODEL), "--out", "o.parquet")
        for name, peer in PEERS.items():
            yield contender(name, millions, *prepare_peers(), peer, rows, str(MODEL), f"{peer}.parquet")
        if millions == MIDDLE:
            arrow = (*prepare_peers(), "arrow", rows, str(MODEL), "arrow.parquet", str(CONTRACT))
            yield contender(ARROW, millions, *arrow)
        if millions == SMALL:  # more would take minutes
            yield contender(MLFLOW, millions, *prepare_mlflow(project, scratch))

    ours: dict[int, Series] = {}
    for millions in (SMALL, MIDDLE, LARGE):
        ours[millions], *peers = meter.take_turns(list(every(millions)))
        for peer in peers:
            bar = BARS.get(peer.name.removesuffix(f", {millions} M rows")) if millions == MIDDLE else None
            yield Figure(ours[millions], peer, "≥", bar)
        for peer in peers:
            own, others = (Series(f"{one.name}: memory", peaks[one.name], "MB") for one in (ours[millions], peer))
            yield Figure(own, others)
    yield Figure(ours[LARGE], ours[MIDDLE], "≥", 0.9)
    large, middle = (peaks[ours[millions].name] for millions in (LARGE, MIDDLE))
    yield Figure(
        Series(f"{OURS}: memory over {LARGE} M rows", [max(large)], "MB"),
        Series(f"over {MIDDLE} M rows", [max(middle)], "MB"),
        bar=1.1,
    )
    yield limit_memory(f"{OURS}: memory at its highest", large + middle, ALLOWED_MEGABYTES)
    yield compare_csv(project, meter)


def compare_csv(project: Workspace, meter: Meter) -> Figure:
    """Return `predict` to CSV compared with pandas, in rows per second."""
    rows = str(make_houses(project, MIDDLE))
    ours = ("artifact-flow", "predict", rows, "--model", str(MODEL), "--out", "ours.csv")
    pandas = (*prepare_peers(), "pandas", rows, str(MODEL), "pandas.csv")
    return meter.compare(
        Contender(f"{OURS} to CSV", lambda: MIDDLE / project.measure(*ours).seconds, "M rows/s"),
        Contender(f"pandas {PANDAS} to CSV", lambda: MIDDLE / project.measure(*pandas).seconds, "M rows/s"),
        relation="≥",
        bar=5.0,
    )


def prepare_mlflow(project: Workspace, scratch: Path) -> list[str]:
    """Return the command that predicts the smallest table with mlflow, from the pickle saved as an MLflow model."""
    bin_, model = prepare_serving_peer("mlflow"), scratch / "mlflow-houses"
    rows = make_table("houses_1m.csv", "houses", str(project.path / FLOW), str(SMALL))
    project.run(
        str(bin_ / "python"), str(SERVING / "mlflow_model.py"), str(project.path / FLOW / "model_train.pkl"), str(model)
    )
    return [
        *("env", f"PATH={bin_}:/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY=true"),
        *(str(bin_ / "mlflow"), "models", "predict", "--env-manager", "local", "--model-uri", str(model)),
        *("--content-type", "csv", "--input-path", str(rows), "--output-path", "mlflow.json"),
    ]


def compare_stage_data(project: Workspace, meter: Meter) -> Figure:
    """Return stage `data` on a CSV of 100 MB, in a clone, compared with pyarrow's reader and writer."""
    peer = prepare_peers()
    shutil.copyfile(make_table("mixed.csv", "mixed"), project.path / "mixed.csv")
    env = ("env", "PYTHONPATH=src")
    project.run(*env, "artifact-flow", "init", "--data", "mixed.csv", "--target", "spent")
    return meter.compare(
        Contender(
            "stage data, a CSV of 100 MB",
            lambda: project.time(*env, sys.executable, "-m", "artifact_flow.core.stage", "data"),
        ),
        Contender(
            "pyarrow's read_csv and write_table", lambda: project.time(*peer, "convert", "mixed.csv", "peer.parquet")
        ),
        relation="≤",
        bar=3.0,
    )


def make_houses(project: Workspace, millions: int = MIDDLE) -> Path:
    """Return a Parquet file with a number of million houses; the flow must be reproduced in the project."""
    return make_table(f"houses_{millions}m.parquet", "houses", str(project.path / FLOW), str(millions))


def make_table(name: str, kind: str, *arguments: str) -> Path:
    """Return a table made by benchmarks/tables.py in this or an earlier run, after reading it into the page cache."""
    path = TABLES / name
    if not path.is_file():
        TABLES.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{name}.part")
        # in its own process: the peak memory of a child starts at the memory of its parent
        Workspace(ROOT).run(sys.executable, "-P", str(MAKER), kind, str(part), *arguments)
        part.replace(path)
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    return path
