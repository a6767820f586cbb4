"""`artifact-flow receive`: take what earlier CI jobs handed over."""

import argparse
from pathlib import Path

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.parcels import PARCELS


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    receive = commands.add_parser(
        "receive",
        help="take what earlier CI jobs handed over, once it is proven to be that",
        description="Compare parcels with the sha256 that their jobs told apart from them, copy what dvc.yaml declares "
        "and check it out; nothing is copied or opened before. Print the stages that need not run again.",
    )
    receive.add_argument("stages", nargs="+", metavar="STAGE", help="that the earlier jobs reproduced")
    receive.add_argument("--from", required=True, type=Path, dest="folder", metavar="FOLDER", help="a folder a parcel")
    receive.add_argument("--parcels", required=True, metavar="JSON", help=PARCELS)
    receive.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.proof.parcel import read_parcels, receive

    kept = receive(repository_root(), arguments.folder, read_parcels(arguments.parcels), arguments.stages)
    print(" ".join(kept))
