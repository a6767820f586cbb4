"""`artifact-flow hand-over`: pass files to the next CI job."""

import argparse
from pathlib import Path

from artifact_flow.cli.arguments import PARCELS, Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    hand_over = commands.add_parser(
        "hand-over",
        help="copy the outputs of stages into a folder for the next CI job",
        description="Copy the outputs of these stages and of the stages before them into a folder, except those that "
        "this job received, and print the parcels for the next job, each with the sha256 of its manifest.",
    )
    hand_over.add_argument("stages", nargs="+", metavar="STAGE", help="a name from `dvc stage list`")
    hand_over.add_argument("--name", required=True, help="the name of the artifact that the folder is uploaded as")
    hand_over.add_argument("--into", required=True, type=Path, metavar="FOLDER", help="an empty or new folder")
    hand_over.add_argument("--received", default="", metavar="JSON", help=PARCELS)
    hand_over.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.proof.parcel import pack, read_parcels, write_parcels

    earlier = read_parcels(arguments.received)
    parcel = pack(repository_root(), arguments.stages, arguments.name, arguments.into, earlier)
    print(write_parcels([*earlier, parcel]))
