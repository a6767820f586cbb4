"""Repro: the time of `dvc repro` compared with its stages' commands, and of a no-op compared with a toy project."""

from itertools import count
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.workspace import CommandError, Workspace, clone_head


def compare_with_commands(scratch: Path, meter: Meter) -> Figure:
    """Return `dvc repro` compared with the stages' commands run by hand, each time in a fresh clone."""
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
    """Return the shell commands of a dvc.yaml's stages in the file's order, which is a valid order to run them."""
    stages = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"]
    commands = [stage["cmd"] for stage in stages.values()]
    return [line for command in commands for line in ([command] if isinstance(command, str) else command)]


def compare_main_with_toy(project: Workspace, toy: Workspace, meter: Meter) -> Figure:
    """Return a no-op `dvc repro` of the main flow compared with one of a toy project."""
    return _compare_noops(["dvc", "repro"], project, toy, meter, bar=1.35)


def compare_flows_with_toy(project: Workspace, toy: Workspace, meter: Meter) -> Figure:
    """Return a no-op `dvc repro -P` of every flow compared with a no-op `dvc repro` of a toy project."""
    return _compare_noops(["dvc", "repro", "-P"], project, toy, meter, bar=1.6)


def _compare_noops(command: list[str], project: Workspace, toy: Workspace, meter: Meter, bar: float) -> Figure:
    for workspace, words in ((project, command), (toy, ["dvc", "repro"])):
        workspace.run(*words)
        if "up to date" not in workspace.run(*words):
            raise CommandError(f"`{' '.join(words)}` is not a no-op right after it has run in {workspace.path}")
    return meter.compare(
        Contender(f"no-op {' '.join(command)}", lambda: project.time(*command)),
        Contender("no-op of a two-stage toy", lambda: toy.time("dvc", "repro")),
        relation="≤",
        bar=bar,
    )
