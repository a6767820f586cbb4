"""Throughput: rows predicted beside pandas, polars and a bare pyarrow loop, and a CSV taken in beside pyarrow.

Whole processes with their start-up; `predict` and its peers on one core, with the same model.
"""

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.environment import PANDAS, POLARS, prepare_peers
from benchmarks.figure import Contender, Figure, Meter, limit_memory
from benchmarks.workspace import ROOT, Workspace

TABLES = ROOT / ".artifact-flow" / "bench-data"
MAKER = Path(__file__).with_name("tables.py")
FLOW = Path("flows", "california_housing")
MODEL, CONTRACT = FLOW / "model.onnx", FLOW / "contract.json"
ALLOWED_MEGABYTES = 450.0


def compare_predict(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield `predict` beside pandas, pyarrow and polars, its memory, and its CSV beside that of pandas."""
    rows = str(make_houses(project))
    peer, peaks = prepare_peers(), list[float]()

    def predict(out: str) -> float:
        cost = project.measure("artifact-flow", "predict", rows, "--model", str(MODEL), "--out", out)
        if out.endswith(".parquet"):
            peaks.append(cost.megabytes)
        return cost.seconds

    def run_peer(name: str, out: str, *more: str) -> float:
        return project.measure(*peer, name, rows, str(MODEL), out, *more).seconds

    def beside(name: str, words: str, out: str, bar: float, *more: str) -> Figure:
        return meter.compare(
            Contender(words, partial(run_peer, name, f"peer.{out}", *more)),
            Contender(f"artifact-flow predict, 5 M rows to {out}", partial(predict, f"ours.{out}")),
            relation="≥",
            bar=bar,
        )

    yield beside("pandas", f"pandas {PANDAS} and the same model", "parquet", 1.6)
    yield beside("arrow", "a bare pyarrow loop that hashes and range-checks", "parquet", 0.85, str(CONTRACT))
    yield beside("polars", f"polars {POLARS}, map_batches with the same model", "parquet", 0.95)
    yield limit_memory("memory of artifact-flow predict at its highest", peaks, ALLOWED_MEGABYTES)
    yield beside("pandas", f"pandas {PANDAS} and the same model", "csv", 5.0)


def compare_stage_data(project: Workspace, meter: Meter) -> Figure:
    """Return stage `data` on a CSV of 100 MB, in a clone, against pyarrow's own reading and writing."""
    peer = prepare_peers()
    shutil.copyfile(make_table("mixed.csv", "mixed"), project.path / "mixed.csv")
    env = ("env", "PYTHONPATH=src")
    project.run(*env, "artifact-flow", "init", "--data", "mixed.csv", "--target", "spent")
    return meter.compare(
        Contender(
            "stage data, a CSV of 100 MB", lambda: project.time(*env, sys.executable, "-m", "artifact_flow.stages.data")
        ),
        Contender(
            "pyarrow's read_csv and write_table", lambda: project.time(*peer, "convert", "mixed.csv", "peer.parquet")
        ),
        relation="≤",
        bar=3.0,
    )


def make_houses(project: Workspace, times: int = 1) -> Path:
    """Return a Parquet file of TIMES 5 million houses; the project holds their flow, reproduced."""
    name = "houses.parquet" if times == 1 else f"houses_{times}.parquet"
    return make_table(name, "houses", str(project.path / FLOW), str(times))


def make_table(name: str, kind: str, *arguments: str) -> Path:
    """Return a table that benchmarks/tables.py makes, or made in an earlier run, with its bytes in the page cache."""
    path = TABLES / name
    if not path.is_file():
        TABLES.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{name}.part")
        # a process of its own: a child's memory starts as that of the process that starts it
        Workspace(ROOT).run(sys.executable, "-P", str(MAKER), kind, str(part), *arguments)
        part.replace(path)
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    return path
