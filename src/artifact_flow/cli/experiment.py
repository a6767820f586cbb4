"""`artifact-flow experiment`: try other parameters."""

import argparse
from pathlib import Path

from artifact_flow.cli import track
from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    experiment = commands.add_parser(
        "experiment",
        help="try other parameters as a DVC experiment, and track what comes of it",
        description="Run `dvc exp run` on the main flow with these parameters, then log the result. What is not given, "
        "or empty, stays as params.yaml has it.",
    )
    for name, word in (("--test-size", "S"), ("--random-seed", "N"), ("--max-iter", "N"), ("--C", "C")):
        experiment.add_argument(name, metavar=word)
    experiment.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.tracking.project import run_experiment

    run_experiment(
        {
            "test_size": arguments.test_size,
            "random_seed": arguments.random_seed,
            "max_iter": arguments.max_iter,
            "C": arguments.C,
        }
    )
    track.run(argparse.Namespace(flows=[Path()], sink=None))
