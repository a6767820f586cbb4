"""The command line: `artifact-flow <command>`. Thin: each command imports what it runs when it runs."""

import argparse
import sys
from collections.abc import Sequence

from artifact_flow.errors import told_in_one_sentence


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that `argv` names and exit with its code."""
    parser = argparse.ArgumentParser(
        prog="artifact-flow", description="Reproducible scikit-learn models: prove what dvc.lock says."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    verify = commands.add_parser(
        "verify",
        help="reproduce HEAD in clean clones under changed surroundings and compare with dvc.lock, file by file",
        description="Clone HEAD, run `dvc repro --force` under changed surroundings (hash seed, threads, BLAS kernel, "
        "CPU dispatch, locale and time zone, directory) and compare each file with dvc.lock. "
        "Exit code 0: as locked; 1: something differs.",
    )
    verify.add_argument("--quick", action="store_true", help="two surroundings: as it is, and everything changed")
    arguments = parser.parse_args(argv)
    with told_in_one_sentence():
        if arguments.command == "verify":
            from artifact_flow.verify import verify_head  # noqa: PLC0415 - `--help` stays light

            sys.exit(0 if verify_head(quick=arguments.quick) else 1)
