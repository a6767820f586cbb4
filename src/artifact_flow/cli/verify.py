"""`artifact-flow verify`: prove that HEAD reproduces the bytes in dvc.lock."""

import argparse
import sys

from artifact_flow.cli.arguments import Commands
from artifact_flow.cli.process import note


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    verify = commands.add_parser(
        "verify",
        help="reproduce HEAD in clean clones in changed environments, and compare each file with its dvc.lock",
        description="Clone HEAD, run `dvc repro --force` in changed environments (hash seed, threads, BLAS kernel, "
        "CPU dispatch, locale and time zone, directory), and compare each file with its dvc.lock. "
        "Exit code 0: all files are equal; 1: a file differs; 3: all files are equal, but stages were skipped because "
        "their data is not available.",
    )
    verify.add_argument(
        "--quick", action="store_true", help="two environments only: the current one, and one with every change"
    )
    verify.add_argument(
        "pipelines", nargs="*", metavar="PIPELINE", help="a dvc.yaml; default: every dvc.yaml with a dvc.lock"
    )
    verify.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.proof.surroundings import FULL, QUICK  # `--help` stays light
    from artifact_flow.proof.verify import verify_head

    proof = verify_head(QUICK if arguments.quick else FULL, arguments.pipelines)
    if proof.left_out:
        note(f"{len(proof.left_out)} stages were skipped because their data is not available, as reported above")
    sys.exit((3 if proof.left_out else 0) if proof.holds else 1)
