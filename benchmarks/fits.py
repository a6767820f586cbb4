"""Fits: the time that pinning BLAS costs on idle cores and saves on busy cores."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.workspace import Workspace

WORKER = Path(__file__).with_name("fit.py")

# A busy loop in plain Python. It ends when the benchmark ends, for whatever reason.
SPINNER = "import os\nwhile os.getppid() == {parent}: sum(range(100_000))"


def compare_fits(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield the pinned fit compared with the default fit on idle cores, then the reverse on busy cores."""

    def contender(mode: str, cores: str) -> Contender:
        name = f"{mode} fit, cores {cores} ({time_fit(project, mode)['blas']})"
        return Contender(name, lambda: float(time_fit(project, mode)["seconds"]))

    yield meter.compare(contender("pinned", "idle"), contender("default", "idle"), relation="≤", bar=1.3)
    with busy_cores():
        yield meter.compare(contender("default", "busy"), contender("pinned", "busy"), relation="≥", bar=3.0)


def time_fit(project: Workspace, mode: str) -> dict[str, Any]:
    """Return the seconds and the BLAS of one "pinned" or "default" fit in a new process."""
    return dict(json.loads(project.run("env", "PYTHONPATH=src", sys.executable, str(WORKER), mode)))


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core that this process may use busy, with one process per core."""
    command = [sys.executable, "-c", SPINNER.format(parent=os.getpid())]
    spinners = [subprocess.Popen(command) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
