"""`artifact-flow track`: log results to MLflow."""

import argparse

from artifact_flow.cli.arguments import Commands, add_flows
from artifact_flow.cli.process import note


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    track = commands.add_parser(
        "track",
        help="log the results of the pipeline to MLflow",
        description="Log the parameters, metrics, artifacts, plots, data set and model of finished flows, after "
        "checking each file against dvc.lock. A result is logged only once. MLFLOW_TRACKING_URI names a server; "
        "without it, runs go to a database under .artifact-flow, which `make mlflow` shows.",
    )
    add_flows(track)
    track.add_argument(
        "--sink",
        action="append",
        choices=["mlflow", "wandb"],
        help="where to log; repeat the option for both; default: mlflow",
    )
    track.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.tracking.backends import open_sink
    from artifact_flow.tracking.pictures import start_drawing
    from artifact_flow.tracking.result import read_result

    results = [read_result(folder) for folder in arguments.flows]
    drawings = [start_drawing(repository_root(), result.plots) for result in results]  # while MLflow is imported
    for name in arguments.sink or ["mlflow"]:
        sink = open_sink(name)
        for result, drawing in zip(results, drawings, strict=True):
            logged = sink.log(result, drawing)
            state = "already contains this result" if logged.found else "logged"
            print(f"{result.name}: run {logged.run_id} {state}; {logged.place}")
    git = results[0].git
    if git.dirty:
        note(
            f"not in commit {git.commit[:7]}: {', '.join(git.changed[:5])}; the run records that. "
            "Commit and track again for a run that names the commit."
        )
