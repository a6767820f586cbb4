"""Pipelines: the same digits job, from source to metrics, with this project and with its alternatives.

The alternatives are three plain scripts run by hand, by make, by `mlflow run` and by a DVC project with default
settings. This project runs its three stages after the unit tests have passed, because the alternatives have no tests.
"""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.figure import Contender, Figure, Meter
from benchmarks.workspace import CommandError, Workspace, clone_head, make_toy

SCRIPTS = Path(__file__).with_name("pipeline_peers")
OURS = "artifact-flow: dvc repro infer"
PEERS = {
    "plain scripts": ("sh", "-c", "python prepare.py && python train.py && python infer.py"),
    "make": ("make", "--silent"),
    "mlflow run": ("mlflow", "run", ".", "--env-manager=local"),
    "plain DVC": ("dvc", "repro"),
}
QUIET = ("env", "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_TRACKING_URI=sqlite:///mlflow.db")


def compare_pipelines(scratch: Path, meter: Meter) -> Iterator[Figure]:
    """Yield `dvc repro infer` compared with each peer: in a new folder, then again when nothing has changed."""
    gated = make_gated(scratch / "gated")
    numbers, places = count(), dict[str, Workspace]()

    def contender(name: str, command: tuple[str, ...], anew: bool) -> Contender:
        def measure() -> float:
            if anew:
                place = scratch / f"pipeline-{next(numbers)}"
                places[name] = copy_workspace(gated, place) if name == OURS else make_peer(place)
            return places[name].time(*QUIET, *command)

        return Contender(f"{name}, {'from nothing' if anew else 'once more'}", measure)

    for anew in (True, False):
        every = [(OURS, ("dvc", "repro", "infer")), *PEERS.items()]
        ours, *peers = meter.take_turns([contender(name, command, anew) for name, command in every])
        yield from (Figure(ours, peer) for peer in peers)
    check_outputs(places)


def check_outputs(places: dict[str, Workspace]) -> None:
    """Raise CommandError unless each folder contains the outputs of the job."""
    for name, place in places.items():
        for file in ("model_train.pkl", "predictions.csv", "metrics.json"):
            if not (place.path / file).is_file():
                raise CommandError(f"{name} did not write {file} in {place.path}")


def make_gated(path: Path) -> Workspace:
    """Return a clone of HEAD in which stage `test` has passed and no other stage has run."""
    clone = clone_head(path)
    clone.run("dvc", "repro", "test")
    return clone


def make_peer(path: Path) -> Workspace:
    """Return a new git and DVC repository with the plain scripts."""
    peer = make_toy(path)
    shutil.copytree(SCRIPTS, path, dirs_exist_ok=True)
    (path / "plain.yaml").rename(path / "dvc.yaml")
    return peer


def copy_workspace(workspace: Workspace, path: Path) -> Workspace:
    """Copy a workspace to another path and return the copy."""
    shutil.copytree(workspace.path, path, symlinks=True)
    return Workspace(path)
