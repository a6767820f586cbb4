"""`artifact-flow receive`: take files from earlier CI jobs."""

import argparse
from pathlib import Path

from artifact_flow.cli.arguments import PARCELS, Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    receive = commands.add_parser(
        "receive",
        help="take the outputs of earlier CI jobs after checking their hashes",
        description="Compare parcels with the sha256 hashes that their jobs reported separately, copy the files that "
        "dvc.yaml declares, and check them out. Nothing is copied or opened before the check. Print the stages that "
        "need not run again.",
    )
    receive.add_argument("stages", nargs="+", metavar="STAGE", help="a stage that the earlier jobs reproduced")
    receive.add_argument(
        "--from", required=True, type=Path, dest="folder", metavar="FOLDER", help="contains a folder for each parcel"
    )
    receive.add_argument("--parcels", required=True, metavar="JSON", help=PARCELS)
    receive.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.proof.parcel import read_parcels, receive

    kept = receive(repository_root(), arguments.folder, read_parcels(arguments.parcels), arguments.stages)
    print(" ".join(kept))
