"""`artifact-flow hand-over`: hand files to the next CI job."""

import argparse
from pathlib import Path

from artifact_flow.cli.commands import Commands
from artifact_flow.cli.parcels import PARCELS


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    hand_over = commands.add_parser(
        "hand-over",
        help="put what stages left into a folder, for the next CI job",
        description="Write into a folder what these stages and those before them left, but for what was received, and "
        "print the parcels that the next job receives, each with the sha256 of its manifest.",
    )
    hand_over.add_argument("stages", nargs="+", metavar="STAGE", help="as `dvc stage list` names it")
    hand_over.add_argument("--name", required=True, help="of the artifact that the folder will be uploaded as")
    hand_over.add_argument("--into", required=True, type=Path, metavar="FOLDER", help="empty, or not there yet")
    hand_over.add_argument("--received", default="", metavar="JSON", help=PARCELS)
    hand_over.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.proof.parcel import pack, read_parcels, write_parcels

    earlier = read_parcels(arguments.received)
    parcel = pack(repository_root(), arguments.stages, arguments.name, arguments.into, earlier)
    print(write_parcels([*earlier, parcel]))
