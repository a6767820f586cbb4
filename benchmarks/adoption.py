"""Adoption: the time of `init` on a large table, compared with stage `data`, and on a very wide one."""

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Contender, Figure, Meter, limit_series
from benchmarks.throughput import make_table
from benchmarks.workspace import Workspace

COLUMNS, ROWS = 2000, 300
ALLOWED_SECONDS = 3.0
INIT = ("env", "PYTHONPATH=src", sys.executable, "-m", "artifact_flow.cli", "init", "--force")
STAGE = ("env", "PYTHONPATH=src", sys.executable, "-m", "artifact_flow.core.stage", "data")


def compare_init(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield `init` on a CSV of 100 MB compared with stage `data` on it, and on a wide table with what is allowed."""
    shutil.copyfile(make_table("mixed.csv", "mixed"), project.path / "mixed.csv")
    large = (*INIT, "--data", "mixed.csv", "--target", "spent")
    project.run(*large)
    yield meter.compare(
        Contender("init, a CSV of 100 MB", lambda: project.time(*large)),
        Contender("stage data, the same file", lambda: project.time(*STAGE)),
        relation="≤",
        bar=2.0,
    )
    write_wide(project.path / "wide.csv")
    wide = (*INIT, "--data", "wide.csv", "--target", "y")
    (seconds,) = meter.take_turns([Contender(f"init, {COLUMNS} columns × {ROWS} rows", lambda: project.time(*wide))])
    yield limit_series(seconds, ALLOWED_SECONDS)


def write_wide(out: Path) -> None:
    """Write a table with very many columns of numbers, and a target of two classes."""
    draw = random.Random(0)  # noqa: S311 - no secret
    with out.open("w", encoding="utf-8") as file:
        file.write(",".join([*(f"c{number}" for number in range(COLUMNS)), "y"]) + "\n")
        for row in range(ROWS):
            file.write(",".join([*(f"{draw.gauss(0, 1):.6g}" for _ in range(COLUMNS)), "ab"[row % 2]]) + "\n")
