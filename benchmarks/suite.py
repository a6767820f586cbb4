"""Suite: what is measured beside what, and the bars."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.workspace import CommandError, Workspace, clone_head, make_toy

FIGURES = 4  # that `measure_everything` returns, of two things each
WORKER = Path(__file__).with_name("fit.py")

# Plain Python, which leaves no core to anybody; ends with the benchmark, however that ends.
SPINNER = "import os\nwhile os.getppid() == {parent}: sum(range(100_000))"


def measure_everything(scratch: Path, meter: Meter) -> list[Figure]:
    """Return every figure; `scratch` is an existing, empty directory."""
    cold = compare_with_commands(scratch, meter)
    project = clone_head(scratch / "project")
    project.run("dvc", "repro")
    return [cold, compare_with_toy(project, make_toy(scratch / "toy"), meter), *compare_fits(project, meter)]


def compare_with_commands(scratch: Path, meter: Meter) -> Figure:
    """Return `dvc repro` against the stages' commands run by hand, each time in a fresh clone."""
    clones = (clone_head(scratch / f"clone-{number}") for number in count())

    def run_by_hand() -> float:
        clone = next(clones)
        return sum(clone.time("sh", "-c", command) for command in stage_commands(clone.path / "dvc.yaml"))

    return meter.compare(
        Contender("dvc repro from nothing", lambda: next(clones).time("dvc", "repro")),
        Contender("its stages' commands by hand", run_by_hand),
        relation="≤",
        bar=1.3,
    )


def stage_commands(path: Path) -> list[str]:
    """Return the shell commands of a dvc.yaml's stages, in the file's order, in which each finds its inputs."""
    stages = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"]
    commands = [stage["cmd"] for stage in stages.values()]
    return [line for command in commands for line in ([command] if isinstance(command, str) else command)]


def compare_with_toy(project: Workspace, toy: Workspace, meter: Meter) -> Figure:
    """Return a `dvc repro` that finds nothing to do in this project against one in a toy."""
    for workspace in (project, toy):
        workspace.run("dvc", "repro")
        if "up to date" not in workspace.run("dvc", "repro"):
            raise CommandError(f"`dvc repro` right after `dvc repro` finds work to do in {workspace.path}")
    return meter.compare(
        Contender("no-op dvc repro", lambda: project.time("dvc", "repro")),
        Contender("no-op of a two-stage toy", lambda: toy.time("dvc", "repro")),
        relation="≤",
        bar=1.3,
    )


def compare_fits(project: Workspace, meter: Meter) -> Iterator[Figure]:
    """Yield the pinned fit against the default one on idle cores, then the default against the pinned on busy ones."""

    def contender(mode: str, cores: str) -> Contender:
        name = f"{mode} fit, cores {cores} ({time_fit(project, mode)['blas']})"
        return Contender(name, lambda: float(time_fit(project, mode)["seconds"]))

    yield meter.compare(contender("pinned", "idle"), contender("default", "idle"), relation="≤", bar=1.3)
    with busy_cores():
        yield meter.compare(contender("default", "busy"), contender("pinned", "busy"), relation="≥", bar=3.0)


def time_fit(project: Workspace, mode: str) -> dict[str, Any]:
    """Return the seconds and the BLAS of one "pinned" or "default" fit in a fresh process."""
    return dict(json.loads(project.run("env", "PYTHONPATH=src", sys.executable, str(WORKER), mode)))


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core that this process may use busy, with one other process each."""
    command = [sys.executable, "-c", SPINNER.format(parent=os.getpid())]
    spinners = [subprocess.Popen(command) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
