"""`artifact-flow promote`: make the challenger the champion."""

import argparse
import sys

from artifact_flow.cli.arguments import Commands, add_flows, add_registered_name, refuse_shared


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    promote = commands.add_parser(
        "promote",
        help="make the challenger the champion if it is not worse",
        description="Compare the challenger with the champion. The challenger becomes the champion if its accuracy or "
        "R² on the same test rows is at most promote.max_loss (params.yaml) lower, and its result comes from a commit. "
        "Exit code 0: promoted; 1: not promoted.",
    )
    add_flows(promote)
    add_registered_name(promote)
    promote.add_argument("--version", help="a version to promote instead of the challenger, for example to roll back")
    promote.add_argument(
        "--force", action="store_true", help="promote regardless of the comparison; a tag records the reason"
    )
    promote.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.tracking.client import Server
    from artifact_flow.tracking.registry import Registry
    from artifact_flow.tracking.result import find_flow

    refuse_shared(arguments.flows, "--name", arguments.name)
    refuse_shared(arguments.flows, "--version", arguments.version)
    gates = {flow: flow.load_params() for flow in map(find_flow, arguments.flows)}
    registry = Registry(Server())
    promoted = True
    for flow, params in gates.items():
        name = flow.name if arguments.name is None else arguments.name
        compared = registry.promote(name, params.promote.max_loss, arguments.version, arguments.force)
        print(compared.table())
        print(compared.verdict())
        promoted = promoted and compared.promoted
    sys.exit(0 if promoted else 1)
