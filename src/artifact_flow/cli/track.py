"""`artifact-flow track`: log results to MLflow."""

import argparse
import sys
from pathlib import Path

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.flows import FLOW


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    track = commands.add_parser(
        "track",
        help="log what the pipeline produced to MLflow",
        description="Log parameters, metrics, artifacts, plots, the data set and the model of finished flows, each "
        "file as dvc.lock names it. The same result is logged once. MLFLOW_TRACKING_URI names a server; without it, "
        "runs go into a database under .artifact-flow, which `make mlflow` shows.",
    )
    track.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    track.add_argument(
        "--sink", action="append", choices=["mlflow", "wandb"], help="where to, several times for both; default: mlflow"
    )
    track.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.tracking.pictures import start_drawing
    from artifact_flow.tracking.result import read_result
    from artifact_flow.tracking.sink import open_sink

    results = [read_result(folder) for folder in arguments.flows]
    drawings = [start_drawing(repository_root(), result.plots) for result in results]  # while MLflow is imported
    for name in arguments.sink or ["mlflow"]:
        sink = open_sink(name)
        for result, drawing in zip(results, drawings, strict=True):
            logged = sink.log(result, drawing)
            what = "holds this result already" if logged.found else "logged"
            print(f"{result.name}: run {logged.run_id} {what}; {logged.place}")
    if results[0].git.dirty:
        print(
            f"not in commit {results[0].git.commit[:7]}: {', '.join(results[0].git.changed[:5])}; the run says so. "
            "Commit and track again, and it names the commit.",
            file=sys.stderr,
        )
