"""`artifact-flow experiment`: run the main flow with other parameters."""

import argparse
from pathlib import Path

from artifact_flow.cli import track
from artifact_flow.cli.arguments import Commands
from artifact_flow.tracking.options import OPTIONS


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    experiment = commands.add_parser(
        "experiment",
        help="run a DVC experiment with other parameters, and track its result",
        description="Run `dvc exp run` on the main flow with these parameters, then log the result. A parameter that "
        "is omitted or empty keeps its value in params.yaml.",
    )
    for name, (key, _, words) in OPTIONS.items():
        experiment.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=f"{words} for {key}")
    experiment.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.tracking.experiment import run_experiment

    run_experiment({name: getattr(arguments, name) for name in OPTIONS})
    track.run(argparse.Namespace(flows=[Path()], sink=None))
