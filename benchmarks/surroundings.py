"""Surroundings: the number of surroundings in which a pipeline gives the same bytes, for this and a plain DVC project.

The surroundings are those of `artifact-flow verify`: hash seed, threads, BLAS kernel, CPU features, locale and time
zone, directory name, and all of them at once. All runs use one machine and one environment; other versions would
cause more differences.
"""

from collections.abc import Iterator
from pathlib import Path

from artifact_flow.proof.surroundings import AS_IT_IS, EVERYTHING, FULL, Surroundings
from benchmarks.figure import Figure, Series
from benchmarks.pipelines import copy_workspace, make_gated, make_peer
from benchmarks.workspace import Workspace

EVERY = (*FULL, EVERYTHING)
STAGES = ("data", "train", "infer")
OUTPUTS = ("model_train.pkl", "predictions.csv", "metrics.json")


def compare_surroundings(scratch: Path) -> Iterator[Figure]:
    """Yield the number of surroundings with the same bytes of model, predictions and metrics, ours and plain DVC's.

    They are counted once, because the same surroundings give the same bytes.
    """
    commands = {
        "artifact-flow": (make_gated(scratch / "gated"), ("dvc", "repro", "--force", "--single-item", *STAGES)),
        "plain DVC": (make_peer(scratch / "plain"), ("dvc", "repro", "--force")),
    }
    shares = []
    for name, (workspace, command) in commands.items():
        found = {}
        for number, one in enumerate(EVERY):
            (folder := scratch / f"{name}-{number}").mkdir()
            found[one.name] = reproduce(copy_workspace(workspace, folder / one.directory), command, one)
        others = [one.name for one in EVERY if found[one.name] != found[AS_IT_IS.name]]
        words = f"{name}: surroundings with the same bytes" + (f", others with {', '.join(others)}" if others else "")
        shares.append(Series(words, [float(len(EVERY) - len(others))], f"of {len(EVERY)}"))
    ours, plain = shares
    yield Figure(ours, Series("all of them", [float(len(EVERY))], ours.unit), "≥", 1.0)
    yield Figure(ours, plain)


def reproduce(workspace: Workspace, command: tuple[str, ...], surroundings: Surroundings) -> tuple[bytes, ...]:
    """Return the bytes of the outputs after a forced reproduction in the given surroundings."""
    variables = [f"{name}={value}" for name, value in surroundings.environ.items()]
    workspace.run("env", *variables, *command)
    return tuple((workspace.path / name).read_bytes() for name in OUTPUTS)
