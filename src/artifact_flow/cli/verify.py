"""`artifact-flow verify`: prove that HEAD gives the bytes of dvc.lock."""

import argparse
import sys

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    verify = commands.add_parser(
        "verify",
        help="reproduce HEAD in clean clones under changed surroundings and compare with each dvc.lock, file by file",
        description="Clone HEAD, run `dvc repro --force` under changed surroundings (hash seed, threads, BLAS kernel, "
        "CPU dispatch, locale and time zone, directory) and compare each file with its dvc.lock. "
        "Exit code 0: as locked; 1: something differs; 3: as locked, but without stages whose data cannot be had.",
    )
    verify.add_argument("--quick", action="store_true", help="two surroundings: as it is, and everything changed")
    verify.add_argument("pipelines", nargs="*", metavar="PIPELINE", help="a dvc.yaml; default: each that has a lock")
    verify.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.proof.verify import FULL, QUICK, verify_head  # `--help` stays light

    proof = verify_head(QUICK if arguments.quick else FULL, arguments.pipelines)
    if proof.left_out:
        print(f"{len(proof.left_out)} stages were left out for want of their data, as told above", file=sys.stderr)
    sys.exit((3 if proof.left_out else 0) if proof.holds else 1)
